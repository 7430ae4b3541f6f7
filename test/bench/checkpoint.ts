// (g) A process of some size is moved with its memory: clouder, by two commands and by one, against by-hand-checkpoint.sh.
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {stringify} from 'yaml'
import {z} from 'zod'
import {checkpointSchema, migrationSchema, RESOURCES} from '../../src/api/resources.ts'
import {API_VERSION, CHECKPOINT_IMAGES_LABEL} from '../../src/api/names.ts'
import {clouderIn, median, run, withHome, type Bench} from './clusters.ts'
import {
  machinesOf,
  memoryOf,
  onHost,
  onPlane,
  PLANE,
  podOf,
  SOURCE,
  TARGET,
  waitReady,
  type MoveCluster,
} from './move-cluster.ts'
import {writeSshFiles} from './prepare.ts'
import type {Measured} from './results.ts'

const [GROUP = ''] = API_VERSION.split('/')
const CHECKPOINTS = `${RESOURCES.Checkpoint.plural}.${GROUP}`
const MIGRATIONS = `${RESOURCES.Migration.plural}.${GROUP}`

type OfSize = Measured<'g'>['sizes'][number]
type Round = OfSize['pairs'][number]

/** cluster.yaml. */
export const moveDocument = {
  apiVersion: API_VERSION,
  kind: 'Cluster',
  metadata: {name: 'bench-g'},
  spec: {
    provider: {kind: 'local'},
    // The way by hand restores from an image, which only nodes with this label do.
    workers: [{count: 2, labels: {[CHECKPOINT_IMAGES_LABEL]: 'true'}}],
    checkpoint: {restore: 'trusted-images'},
    addons: {profile: 'minimal'},
  },
}

interface Moves {
  readonly mebibytes: readonly number[]
  readonly rounds: number
}

/** Rounds of all ways per size in MiB, in turn, on one cluster whose containerd may restore images. */
export function moveMemory(moves: Moves, bench: Bench): Promise<Measured<'g'>> {
  const name = moveDocument.metadata.name
  return withHome(name, async (home) => {
    const cluster = {...bench, name, home, clouder: clouderIn(home, bench.signal)}
    const config = join(home, 'cluster.yaml')
    await writeFile(config, stringify(moveDocument))
    await cluster.clouder('kubeadm', 'init', '--config', config, '--yes')
    // Keys are made at first use, and programs are read from the disk then: that is in no round.
    return moveMemoryOn(cluster, moves, [1])
  })
}

/** The same on a cluster that is there; `before` are the sizes that each way moves first, without a clock. */
export async function moveMemoryOn(
  cluster: MoveCluster,
  {mebibytes, rounds}: Moves,
  before: readonly number[],
): Promise<Measured<'g'>> {
  await writeSshFiles(await machinesOf(cluster), cluster.home)
  await unpackImage(cluster)
  for (const size of before)
    for (const way of [moveByHand, moveByClouder, moveByOneCommand]) await way(cluster, size)
  const [first, ...rest] = mebibytes
  if (first === undefined) throw new RangeError('no size is given')
  const sizes: Measured<'g'>['sizes'] = [await ofSize(cluster, first, rounds)]
  for (const size of rest) sizes.push(await ofSize(cluster, size, rounds))
  const worstOf = (key: 'ratio' | 'moveRatio'): number => Math.max(...sizes.map((size) => size[key]))
  return {sizes, worst: worstOf('ratio'), worstMove: worstOf('moveRatio')}
}

/** All ways, in an order that is another one each round. */
async function inTurn(cluster: MoveCluster, mebibytes: number, round: number): Promise<Round & TwoCommands> {
  const ways = ['by hand', 'two commands', 'one command'] as const
  let byHandSeconds: number | undefined
  let two: TwoCommands | undefined
  let one: OneCommand | undefined
  for (const index of ways.keys()) {
    const way = ways[(round + index) % ways.length]
    if (way === 'by hand') byHandSeconds = await moveByHand(cluster, mebibytes)
    else if (way === 'two commands') two = await moveByClouder(cluster, mebibytes)
    else one = await moveByOneCommand(cluster, mebibytes)
  }
  if (byHandSeconds === undefined || two === undefined || one === undefined)
    throw new TypeError('a way had no turn')
  return {
    ...two,
    byHandSeconds,
    ...one,
    ratio: two.clouderSeconds / byHandSeconds,
    moveRatio: one.moveSeconds / byHandSeconds,
  }
}

/** What a way leaves is removed before the next one's clock starts. */
async function ofSize(cluster: MoveCluster, mebibytes: number, rounds: number): Promise<OfSize> {
  const once = async (round: number): Promise<{pair: Round; sizes: StoredSizes}> => {
    const {sizes, steps, ...pair} = await inTurn(cluster, mebibytes, round)
    cluster.tell(
      `${mebibytes} MiB: by hand ${pair.byHandSeconds.toFixed(1)} s; two commands ${pair.clouderSeconds.toFixed(1)} s (${steps}); one ${pair.moveSeconds.toFixed(1)} s, stood still for ${pair.downtimeSeconds.toFixed(1)} s`,
    )
    return {pair, sizes}
  }
  let last = await once(0)
  const pairs: OfSize['pairs'] = [last.pair]
  for (let round = 1; round < rounds; round += 1) {
    last = await once(round)
    pairs.push(last.pair)
  }
  const middle = (key: keyof Round): number => median(pairs.map((pair) => pair[key]))
  return {
    mebibytes,
    pairs,
    ratio: middle('ratio'),
    moveRatio: middle('moveRatio'),
    downtimeSeconds: middle('downtimeSeconds'),
    ...last.sizes,
  }
}

function moveByHand(cluster: MoveCluster, mebibytes: number): Promise<number> {
  const {home, signal} = cluster
  const script = join(import.meta.dirname, 'by-hand-checkpoint.sh')
  return moved(
    cluster,
    mebibytes,
    async (pod) => (await run(['bash', script, home, PLANE, SOURCE, TARGET, pod], {signal})).seconds,
    async (pod) => {
      const image = `localhost/by-hand/${pod}:1`
      await onHost(cluster, TARGET, ['ctr', '-n', 'k8s.io', 'images', 'rm', '--sync', image])
    },
  )
}

interface TwoCommands {
  readonly clouderSeconds: number
  readonly sizes: StoredSizes
  /** What each command took, for people. */
  readonly steps: string
}

async function moveByClouder(cluster: MoveCluster, mebibytes: number): Promise<TwoCommands> {
  const {clouder, name: ofCluster} = cluster
  const of = ['--cluster', ofCluster, '--json']
  let sizes: StoredSizes | undefined
  const steps: string[] = []
  const clouderSeconds = await moved(
    cluster,
    mebibytes,
    async (pod) => {
      const name = savedName(pod)
      const taken = ['--name', name, '--stop', ...of]
      const saved = await clouder('checkpoint', 'create', `default/${pod}`, ...taken)
      const restored = await clouder('checkpoint', 'restore', `default/${name}`, '--to', TARGET, ...of)
      // It tells that the processes run; the way by hand ends when the pod is Ready.
      const startedMs = performance.now()
      await waitReady(cluster, pod)
      const ready = {seconds: (performance.now() - startedMs) / 1000}
      for (const [step, {seconds}] of Object.entries({saved, restored, ready}))
        steps.push(`${step} ${seconds.toFixed(1)}`)
      sizes = await sizesOf(cluster, name)
      return saved.seconds + restored.seconds + ready.seconds
    },
    (pod) => removeCheckpoint(cluster, savedName(pod)),
  )
  return {clouderSeconds, sizes: storedSizesSchema.parse(sizes), steps: steps.join(', ')}
}

const savedName = (pod: string): string => `${pod}-saved`

const storedSizesSchema = z.object({
  residentBytes: z.int().positive(),
  archiveBytes: z.int().positive(),
  storedBytes: z.int().positive(),
})
type StoredSizes = z.output<typeof storedSizesSchema>

async function sizesOf(cluster: MoveCluster, name: string): Promise<StoredSizes> {
  const text = await onPlane(cluster, ['get', CHECKPOINTS, name, '-o', 'json'])
  const {status} = checkpointSchema.parse(JSON.parse(text))
  const processes = (status?.summary?.containers ?? []).flatMap((container) => container.processes)
  return storedSizesSchema.parse({
    residentBytes: processes.reduce((sum, {residentBytes = 0}) => sum + residentBytes, 0),
    archiveBytes: status?.sizeBytes,
    storedBytes: status?.storedBytes,
  })
}

interface OneCommand {
  readonly moveSeconds: number
  readonly downtimeSeconds: number
}

/** What a Migration of this file's pods has when it has succeeded. */
const movedSchema = z.object({checkpointName: z.string(), downtimeMilliseconds: z.int().positive()})

async function moveByOneCommand(cluster: MoveCluster, mebibytes: number): Promise<OneCommand> {
  const statusOf = async (pod: string) => {
    const text = await onPlane(cluster, ['get', MIGRATIONS, '-o', 'json'])
    const {items} = z.object({items: z.array(migrationSchema)}).parse(JSON.parse(text))
    return movedSchema.parse(items.find(({spec}) => spec.podName === pod)?.status)
  }
  let downtimeMilliseconds = Number.NaN
  const moveSeconds = await moved(
    cluster,
    mebibytes,
    async (pod) => {
      const of = ['--to', TARGET, '--cluster', cluster.name, '--json']
      const {seconds} = await cluster.clouder('checkpoint', 'migrate', `default/${pod}`, ...of)
      ;({downtimeMilliseconds} = await statusOf(pod))
      return seconds
    },
    async (pod) => removeCheckpoint(cluster, (await statusOf(pod)).checkpointName),
  )
  return {moveSeconds, downtimeSeconds: downtimeMilliseconds / 1000}
}

/** One of a direct move goes by itself. */
async function removeCheckpoint(cluster: MoveCluster, name: string): Promise<void> {
  await onPlane(cluster, ['delete', CHECKPOINTS, name, '--wait=true', '--ignore-not-found'])
}

let pods = 0

/** Seconds that a way took, of a pod that has its memory afterwards; then everything is removed. */
async function moved(
  cluster: MoveCluster,
  mebibytes: number,
  way: (pod: string) => Promise<number>,
  tidyUp: (pod: string) => Promise<void>,
): Promise<number> {
  pods += 1
  const pod = `memory-${pods}`
  await onPlane(cluster, ['apply', '-f', '-'], JSON.stringify(podOf(pod, mebibytes, SOURCE)))
  await waitReady(cluster, pod)
  const before = await memoryOf(cluster, pod)
  const seconds = await way(pod)
  const after = await memoryOf(cluster, pod)
  if (before !== after) throw new Error(`${pod} held ${before}, and now ${after}`)
  await onPlane(cluster, ['delete', 'pod', pod, '--wait=true'])
  await tidyUp(pod)
  return seconds
}

/** containerd restores only over an image that it has unpacked, which it does for the first container of it. */
async function unpackImage(cluster: MoveCluster): Promise<void> {
  const pod = 'unpacked'
  await onPlane(cluster, ['apply', '-f', '-'], JSON.stringify(podOf(pod, 1, TARGET)))
  await waitReady(cluster, pod)
  await onPlane(cluster, ['delete', 'pod', pod, '--wait=true'])
}
