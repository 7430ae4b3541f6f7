// The least that moves a process with its memory: runc on both nodes, and one TCP connection between them.
import {readFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {z} from 'zod'
import {NODE_STORE_DIR} from '../../src/api/names.ts'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {onHost, onPlane, podOf, SOURCE, TARGET, waitReady, type MoveCluster} from './move-cluster.ts'
import type {Measured} from './results.ts'

type Floor = Measured<'i'>['sizes'][number]['rounds'][number]['floor']

/** Of the nodes, in memory. */
const FOLDER = '/run/clouder-floor'
const PORT = 18080
const COPY_PORT = 18081
const NODES = [SOURCE, TARGET]

const specSchema = z.looseObject({
  process: z.looseObject({}),
  linux: z.looseObject({namespaces: z.array(z.looseObject({type: z.string()}))}),
})

/** Runs a script of this folder on a node. */
async function script(cluster: MoveCluster, node: string, file: string, args: readonly string[]) {
  const text = await readFile(join(import.meta.dirname, file), 'utf8')
  return onHost(cluster, node, ['bash', '-s', '--', ...args], text)
}

/** Brings the program out of its image to both nodes; each has run a pod of it before. */
export async function prepareFloor(cluster: MoveCluster): Promise<void> {
  for (const node of NODES) {
    const pod = `unpacked-${node}`
    await onPlane(cluster, ['apply', '-f', '-'], JSON.stringify(podOf(pod, 1, node)))
    await waitReady(cluster, pod)
    await onPlane(cluster, ['delete', 'pod', pod, '--wait=true'])
    await onHost(
      cluster,
      node,
      ['bash', '-s'],
      `set -eu
      mkdir -p ${FOLDER}/rootfs/proc ${FOLDER}/rootfs/dev ${FOLDER}/rootfs/sys ${FOLDER}/image
      ctr -n k8s.io images mount ${SMOKE_REFERENCE} ${FOLDER}/image > /dev/null
      cp ${FOLDER}/image/smoke ${FOLDER}/rootfs/
      ctr -n k8s.io images unmount --rm ${FOLDER}/image > /dev/null`,
    )
  }
}

/** A bundle on each node whose process answers on the node's own address. */
async function writeBundles(cluster: MoveCluster, mebibytes: number): Promise<void> {
  for (const node of NODES) {
    await onHost(
      cluster,
      node,
      ['bash', '-s'],
      `runc delete --force floor 2> /dev/null; rm -rf ${FOLDER}/bundle; mkdir -m 700 ${FOLDER}/bundle`,
    )
    const made = await onHost(
      cluster,
      node,
      ['bash', '-s'],
      `cd ${FOLDER}/bundle && runc spec 2> /dev/null && cat config.json`,
    )
    const spec = specSchema.parse(JSON.parse(made))
    const namespaces = spec.linux.namespaces.filter(({type}) => type !== 'network')
    const args = ['/smoke', 'serve', `:${PORT}`, String(mebibytes)]
    const changed = {
      ...spec,
      process: {...spec.process, terminal: false, rlimits: [], args},
      // A root that is read-only would have to be made writable for the restore.
      root: {path: `${FOLDER}/rootfs`},
      linux: {...spec.linux, namespaces},
    }
    await onHost(cluster, node, ['tee', `${FOLDER}/bundle/config.json`], JSON.stringify(changed))
  }
}

const memory = (cluster: MoveCluster, node: string): Promise<string> =>
  onHost(
    cluster,
    node,
    ['bash', '-s'],
    `printf 'GET /memory HTTP/1.0\\r\\n\\r\\n' | socat -t 60 - TCP:127.0.0.1:${PORT} | tail -n 1`,
  )

/** Moves a process once; both scripts are on their nodes before the clock starts. */
export async function floorMove(cluster: MoveCluster, mebibytes: number): Promise<Floor> {
  await writeBundles(cluster, mebibytes)
  const bundle = `${FOLDER}/bundle`
  const silent = '< /dev/null > /dev/null 2>&1'
  await onHost(cluster, SOURCE, ['bash', '-s'], `cd ${bundle} && runc run --detach floor ${silent}`)
  const waiting = ['FIRST', `${FOLDER}/stop`, String(PORT), '127.0.0.1']
  await script(cluster, SOURCE, 'floor-answers.sh', waiting)
  const before = await memory(cluster, SOURCE)
  const [source, target] = [await nodeAddress(cluster, SOURCE), await nodeAddress(cluster, TARGET)]
  const answers = probe(cluster, {port: PORT, source, target})
  const [sent, received] = await answers.during(async () => {
    const receiving = script(cluster, TARGET, 'floor-target.sh', [bundle, String(COPY_PORT)])
    const sending = async (): Promise<string> => {
      const listening = `until ss -Hltn 'sport = ${COPY_PORT}' | grep -q .; do sleep 0.05; done`
      await onHost(cluster, TARGET, ['bash', '-s'], listening)
      return script(cluster, SOURCE, 'floor-source.sh', [bundle, target, String(COPY_PORT)])
    }
    return Promise.all([sending(), receiving])
  })
  const downtimeSeconds = await answers.downtimeSeconds()
  const after = await memory(cluster, TARGET)
  if (before !== after) throw new Error(`the process of the floor held ${before}, and now ${after}`)
  await onHost(cluster, TARGET, ['runc', 'delete', '--force', 'floor'])
  const written = await script(cluster, SOURCE, 'floor-write.sh', [
    `${bundle}/images`,
    join(dirname(NODE_STORE_DIR), 'floor.tar'),
  ])
  const [began = Number.NaN, dumped = Number.NaN] = sent.trim().split(' ').map(Number)
  const [copied = Number.NaN, restored = Number.NaN] = received.trim().split(' ').map(Number)
  const [writing = Number.NaN, onDisk = Number.NaN] = written.trim().split(' ').map(Number)
  return {
    dumpSeconds: dumped - began,
    copySeconds: copied - dumped,
    restoreSeconds: restored - copied,
    totalSeconds: restored - began,
    downtimeSeconds,
    writeSeconds: onDisk - writing,
  }
}

const nodeAddress = (cluster: MoveCluster, node: string): Promise<string> =>
  onPlane(cluster, [
    ...['get', 'node', node, '-o'],
    `'jsonpath={.status.addresses[?(@.type=="InternalIP")].address}'`,
  ])

/** The address of a pod that runs. */
export const addressesOf = (cluster: MoveCluster, pod: string): Promise<string> =>
  onPlane(cluster, ['get', 'pod', pod, '-o', `'jsonpath={.status.podIP}'`])

export interface Probed {
  readonly port: number
  /** Address on the source. */
  readonly source: string
  /** Address on the target, or the pod that will have one there. */
  readonly target: string
}

export interface Probe {
  /** Runs `move` while both nodes are asked. */
  during<T>(move: () => Promise<T>): Promise<T>
  /** From the last answer on the source to the first on the target. */
  downtimeSeconds(): Promise<number>
}

let probes = 0

/** Asks a process on both nodes, on each from there, whose clocks are that of one machine. */
export function probe(cluster: MoveCluster, {port, source, target}: Probed): Probe {
  probes += 1
  const stop = `${FOLDER}/stop-${probes}`
  const asked = (node: string, which: 'FIRST' | 'LAST', place: string): Promise<string> =>
    script(cluster, node, 'floor-answers.sh', [which, stop, String(port), place])
  let results: Promise<readonly [string, string]> | undefined
  return {
    async during(move) {
      const [last, first] = [asked(SOURCE, 'LAST', source), asked(TARGET, 'FIRST', target)]
      // It looks for itself what the other's answer means.
      last.catch(() => undefined)
      first.catch(() => undefined)
      await onHost(cluster, SOURCE, ['sleep', '0.5'])
      try {
        const moved = await move()
        const limit = onHost(cluster, TARGET, ['bash', '-s'], `sleep 20; touch ${stop}`)
        limit.catch(() => undefined)
        await first
        return moved
      } finally {
        const stopped = NODES.map((node) => onHost(cluster, node, ['touch', stop]))
        await Promise.all(stopped)
        results = Promise.all([last, first])
      }
    },
    async downtimeSeconds() {
      const [last, first] = ((await results) ?? []).map((text) => Number(text.trim() || Number.NaN))
      const seconds = (first ?? Number.NaN) - (last ?? Number.NaN)
      if (!(seconds > 0))
        throw new Error(`the process answered ${first} on the target and ${last} on the source`)
      return seconds
    },
  }
}
