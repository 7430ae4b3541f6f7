// (g) A process of some size is moved with its memory: clouder against by-hand-checkpoint.sh.
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {stringify} from 'yaml'
import {SMOKE_REFERENCE} from '../../dist/src/bundle/catalogue.js'
import {median, packageRoot, run} from './clusters.js'
import {sshConfig} from './prepare.js'

const NAME = 'bench-g'
const [SOURCE, TARGET] = ['worker-1', 'worker-2']

/** Rounds of both ways per size in MiB, alternating, on one cluster whose containerd may restore images. */
export async function moveMemory(sizes, rounds) {
  const home = await mkdtemp(join(tmpdir(), 'clouder-bench-'))
  const clouder = (...args) =>
    run(process.execPath, [join(packageRoot, 'bin/run.js'), ...args], {CLOUDER_HOME: home, NO_COLOR: '1'})
  const config = join(home, 'cluster.yaml')
  await writeFile(config, stringify(document))
  try {
    await clouder('kubeadm', 'init', '--config', config, '--yes')
    const {machines} = JSON.parse(await readFile(join(home, 'kubeadm', NAME, 'record.json'), 'utf8'))
    await sshConfig(machines, home)
    const bench = {home, clouder, api: (input, ...words) => onPlane(home, input, words)}
    const found = []
    await unpackImage(bench)
    // Keys are made at first use, and programs are read from the disk then: that is in no round.
    await moveByHand(bench, 1)
    await moveByClouder(bench, 1)
    for (const mebibytes of sizes) found.push(await ofSize(bench, mebibytes, rounds))
    return {sizes: found, worst: Math.max(...found.map(({ratio}) => ratio))}
  } finally {
    await clouder('kubeadm', 'terminate', NAME, '--yes')
    await rm(home, {recursive: true, force: true})
  }
}

const document = {
  apiVersion: 'clouder.dev/v1alpha1',
  kind: 'Cluster',
  metadata: {name: NAME},
  spec: {
    provider: {kind: 'local'},
    // The way by hand restores from an image, which only nodes with this label do.
    workers: [{count: 2, labels: {'clouder.dev/checkpoint-images': 'true'}}],
    checkpoint: {restore: 'trusted-images'},
  },
}

/** Both ways in turn, and which goes first in turn too; what either leaves is removed before the other one's clock starts. */
async function ofSize(bench, mebibytes, rounds) {
  const pairs = []
  let sizes = {}
  for (let round = 1; round <= rounds; round += 1) {
    const found = {}
    const ways = {
      byHand: async () => (found.byHandSeconds = await moveByHand(bench, mebibytes)),
      clouder: async () => Object.assign(found, await moveByClouder(bench, mebibytes)),
    }
    for (const way of round % 2 === 1 ? ['byHand', 'clouder'] : ['clouder', 'byHand']) await ways[way]()
    const {clouderSeconds, byHandSeconds} = found
    ;({sizes} = found)
    pairs.push({clouderSeconds, byHandSeconds, ratio: clouderSeconds / byHandSeconds})
    console.log(
      `${mebibytes} MiB: clouder ${clouderSeconds.toFixed(1)} s (${found.steps}), by hand ${byHandSeconds.toFixed(1)} s`,
    )
  }
  const moves = []
  for (let round = 1; round <= rounds; round += 1) {
    moves.push(await migrated(bench, mebibytes))
    const {seconds, downtimeSeconds} = moves.at(-1)
    console.log(
      `${mebibytes} MiB: a move took ${seconds.toFixed(1)} s, stood still for ${downtimeSeconds.toFixed(1)} s`,
    )
  }
  return {
    mebibytes,
    pairs,
    ratio: median(pairs.map(({ratio}) => ratio)),
    ...sizes,
    moveSeconds: median(moves.map(({seconds}) => seconds)),
    downtimeSeconds: median(moves.map(({downtimeSeconds}) => downtimeSeconds)),
  }
}

async function moveByHand(bench, mebibytes) {
  const script = join(import.meta.dirname, 'by-hand-checkpoint.sh')
  return moved(
    bench,
    mebibytes,
    async (pod) => (await run('bash', [script, bench.home, 'cp-1', SOURCE, TARGET, pod])).seconds,
    async (pod) => {
      const image = `localhost/by-hand/${pod}:1`
      await onHost(bench.home, TARGET, '', ['ctr', '-n', 'k8s.io', 'images', 'rm', '--sync', image])
    },
  )
}

async function moveByClouder(bench, mebibytes) {
  let found = {}
  const of = ['--cluster', NAME, '--json']
  const clouderSeconds = await moved(
    bench,
    mebibytes,
    async (pod) => {
      const name = `${pod}-saved`
      const saved = await bench.clouder(
        'checkpoint',
        'create',
        `default/${pod}`,
        '--name',
        name,
        '--stop',
        ...of,
      )
      const restored = await bench.clouder('checkpoint', 'restore', `default/${name}`, '--to', TARGET, ...of)
      // It tells that the processes run; the way by hand ends when the pod is Ready.
      const startedMs = performance.now()
      await bench.api('', 'wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=120s')
      const readySeconds = (performance.now() - startedMs) / 1000
      const steps = {saved: saved.seconds, restored: restored.seconds, ready: readySeconds}
      found = {
        sizes: await sizesOf(bench, name),
        steps: Object.entries(steps)
          .map(([step, seconds]) => `${step} ${seconds.toFixed(1)}`)
          .join(', '),
      }
      return saved.seconds + restored.seconds + readySeconds
    },
    (pod) => removeCheckpoint(bench, `${pod}-saved`),
  )
  return {clouderSeconds, ...found}
}

async function sizesOf(bench, name) {
  const {status} = JSON.parse(await bench.api('', 'get', 'checkpoint.clouder.dev', name, '-o', 'json'))
  const processes = status.summary.containers.flatMap((container) => container.processes)
  const residentBytes = processes.reduce((sum, process) => sum + process.residentBytes, 0)
  return {residentBytes, archiveBytes: status.sizeBytes, storedBytes: status.storedBytes}
}

async function migrated(bench, mebibytes) {
  let status
  const seconds = await moved(
    bench,
    mebibytes,
    async (pod) => {
      const of = ['--to', TARGET, '--cluster', NAME, '--json']
      const move = await bench.clouder('checkpoint', 'migrate', `default/${pod}`, ...of)
      const {items} = JSON.parse(await bench.api('', 'get', 'migrations.clouder.dev', '-o', 'json'))
      ;({status} = items.find(({spec}) => spec.pod === pod))
      return move.seconds
    },
    () => removeCheckpoint(bench, status.checkpoint),
  )
  return {seconds, downtimeSeconds: status.downtimeMs / 1000}
}

const removeCheckpoint = (bench, name) =>
  bench.api('', 'delete', 'checkpoint.clouder.dev', name, '--wait=true')

let pods = 0

/** Seconds that a way took, of a pod that has its memory afterwards; then everything is removed. */
async function moved(bench, mebibytes, way, tidyUp) {
  pods += 1
  const pod = `memory-${pods}`
  await bench.api(JSON.stringify(podOf(pod, mebibytes)), 'apply', '-f', '-')
  await bench.api('', 'wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=120s')
  const before = await memoryOf(bench, pod)
  const seconds = await way(pod)
  const after = await memoryOf(bench, pod)
  if (before !== after) throw new Error(`${pod} held ${before}, and now ${after}`)
  await bench.api('', 'delete', 'pod', pod, '--wait=true')
  await tidyUp(pod)
  return seconds
}

const memoryOf = async (bench, pod) =>
  bench.api('', 'get', '--raw', `/api/v1/namespaces/default/pods/${pod}:8080/proxy/memory`)

/** containerd restores only over an image that it has unpacked, which it does for the first container of it. */
async function unpackImage(bench) {
  await bench.api(JSON.stringify(podOf('unpacked', 1, TARGET)), 'apply', '-f', '-')
  await bench.api('', 'wait', '--for=condition=Ready', 'pod/unpacked', '--timeout=120s')
  await bench.api('', 'delete', 'pod', 'unpacked', '--wait=true')
}

const podOf = (name, mebibytes, nodeName = SOURCE) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {name},
  spec: {
    nodeName,
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'smoke',
        image: SMOKE_REFERENCE,
        imagePullPolicy: 'IfNotPresent',
        args: ['serve', ':8080', String(mebibytes)],
        ports: [{containerPort: 8080}],
        readinessProbe: {httpGet: {path: '/', port: 8080}, periodSeconds: 1},
      },
    ],
  },
})

const onPlane = (folder, input, words) =>
  onHost(folder, 'cp-1', input, ['kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', ...words])

async function onHost(folder, host, input, line) {
  const child = spawn('ssh', ['-F', join(folder, 'ssh_config'), host, ...line], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  child.stdin.end(input)
  const parts = []
  child.stdout.on('data', (part) => parts.push(part))
  const [code] = await once(child, 'close')
  if (code !== 0) throw new Error(`${line.join(' ')} exited with code ${code}`)
  return Buffer.concat(parts).toString()
}
