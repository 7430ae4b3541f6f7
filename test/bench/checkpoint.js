// (g) A process of some size is moved with its memory: clouder, by two commands and by one, against by-hand-checkpoint.sh.
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

/** Rounds of all ways per size in MiB, in turn, on one cluster whose containerd may restore images. */
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
    await moveByOneCommand(bench, 1)
    for (const mebibytes of sizes) found.push(await ofSize(bench, mebibytes, rounds))
    const worstOf = (key) => Math.max(...found.map((size) => size[key]))
    return {sizes: found, worst: worstOf('ratio'), worstMove: worstOf('moveRatio')}
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

/** The ways in turn, each first in its turn too; what one leaves is removed before the next one's clock starts. */
async function ofSize(bench, mebibytes, rounds) {
  const ways = [
    async () => ({byHandSeconds: await moveByHand(bench, mebibytes)}),
    () => moveByClouder(bench, mebibytes),
    () => moveByOneCommand(bench, mebibytes),
  ]
  const found = []
  let sizes
  for (let round = 0; round < rounds; round += 1) {
    const one = {}
    for (const index of ways.keys()) Object.assign(one, await ways[(round + index) % ways.length]())
    const {clouderSeconds, byHandSeconds, moveSeconds, downtimeSeconds, steps} = one
    const ratios = {ratio: clouderSeconds / byHandSeconds, moveRatio: moveSeconds / byHandSeconds}
    found.push({clouderSeconds, byHandSeconds, moveSeconds, downtimeSeconds, ...ratios})
    sizes = one.sizes
    console.log(
      `${mebibytes} MiB: by hand ${byHandSeconds.toFixed(1)} s; two commands ${clouderSeconds.toFixed(1)} s (${steps}); one ${moveSeconds.toFixed(1)} s, stood still for ${downtimeSeconds.toFixed(1)} s`,
    )
  }
  const middle = (key) => median(found.map((one) => one[key]))
  return {
    mebibytes,
    pairs: found,
    ratio: middle('ratio'),
    moveRatio: middle('moveRatio'),
    downtimeSeconds: middle('downtimeSeconds'),
    ...sizes,
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

async function moveByOneCommand(bench, mebibytes) {
  let status
  const moveSeconds = await moved(
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
  return {moveSeconds, downtimeSeconds: status.downtimeMs / 1000}
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
