// (i) A process is moved, paused and resumed by clouder, and moved by the least that can be done on the same two nodes:
// `runc checkpoint`, the files over one TCP connection, `runc restore`.
import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {stringify} from 'yaml'
import {z} from 'zod'
import {migrationSchema, RESOURCES} from '../../src/api/resources.ts'
import {API_VERSION, RUNTIME_LABEL} from '../../src/api/names.ts'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {retry} from '../../src/base/waiting.ts'
import {clouderIn, median, withHome, type Bench} from './clusters.ts'
import {addressesOf, floorMove, prepareFloor, probe} from './floor-by-hand.ts'
import {
  machinesOf,
  memoryOf,
  onPlane,
  podOf,
  SOURCE,
  TARGET,
  waitReady,
  type MoveCluster,
} from './move-cluster.ts'
import {writeSshFiles} from './prepare.ts'
import {FLOOR_LIMITS, type Measured} from './results.ts'

const [GROUP = ''] = API_VERSION.split('/')
const MIGRATIONS = `${RESOURCES.Migration.plural}.${GROUP}`
const PORT = 8080

type OfSize = Measured<'i'>['sizes'][number]
type Round = OfSize['rounds'][number]

/** cluster.yaml. */
export const floorDocument = {
  apiVersion: API_VERSION,
  kind: 'Cluster',
  metadata: {name: 'bench-i'},
  spec: {provider: {kind: 'local'}, workers: [{count: 2}], addons: {profile: 'minimal'}},
}

interface Moves {
  readonly mebibytes: readonly number[]
  readonly rounds: number
}

/** Sizes that are measured when none are named, in MiB: those that fit several times into the machine's memory. */
export async function floorSizes(): Promise<readonly number[]> {
  const [, kibibytes = '0'] = /^MemAvailable: +(\d+) kB$/m.exec(await readFile('/proc/meminfo', 'utf8')) ?? []
  // The process, its images on both nodes, the process again, and what the page cache keeps of them.
  return [10, 200, 1024, 4096].filter((size) => size <= 1024 || size * 5 <= Number(kibibytes) / 1024)
}

/** Rounds of all ways per size, in turn, on one cluster. */
export function moveAgainstFloor(moves: Moves, bench: Bench): Promise<Measured<'i'>> {
  const name = floorDocument.metadata.name
  return withHome(name, async (home) => {
    const cluster = {...bench, name, home, clouder: clouderIn(home, bench.signal)}
    const config = join(home, 'cluster.yaml')
    await writeFile(config, stringify(floorDocument))
    await cluster.clouder('kubeadm', 'init', '--config', config, '--yes')
    return moveAgainstFloorOn(cluster, moves, [1])
  })
}

/** The same on a cluster that is there; `before` are the sizes that each way moves first, without a clock. */
export async function moveAgainstFloorOn(
  cluster: MoveCluster,
  {mebibytes, rounds}: Moves,
  before: readonly number[],
): Promise<Measured<'i'>> {
  await writeSshFiles(await machinesOf(cluster), cluster.home)
  await prepareFloor(cluster)
  for (const size of before) await inTurn(cluster, size, 0)
  const [first, ...rest] = mebibytes
  if (first === undefined) throw new RangeError('no size is given')
  const sizes: Measured<'i'>['sizes'] = [await ofSize(cluster, first, rounds)]
  for (const size of rest) sizes.push(await ofSize(cluster, size, rounds))
  return {sizes, worst: Math.max(...sizes.map(shareOfLimits))}
}

/** The highest share of a limit that a size takes: 1 or less, all are met. */
export function shareOfLimits({mebibytes, total, totalSeconds, downtime, pause, resume}: OfSize): number {
  const {from, ...limits} = FLOOR_LIMITS
  return Math.max(
    mebibytes < from.total ? totalSeconds / limits.smallSeconds : total / limits.total,
    downtime / limits.downtime,
    ...(mebibytes < from.pause ? [] : [pause / limits.pause, resume / limits.resume]),
  )
}

async function ofSize(cluster: MoveCluster, mebibytes: number, count: number): Promise<OfSize> {
  const first = await inTurn(cluster, mebibytes, 0)
  const rounds: OfSize['rounds'] = [first]
  for (let round = 1; round < count; round += 1) rounds.push(await inTurn(cluster, mebibytes, round))
  return summaryOf(mebibytes, rounds)
}

/** Medians, also of the ratios of each round. */
export function summaryOf(mebibytes: number, rounds: OfSize['rounds']): OfSize {
  const middle = (read: (round: Round) => number): number => median(rounds.map(read))
  return {
    mebibytes,
    rounds,
    totalSeconds: middle(({move}) => move.totalSeconds),
    total: middle(({move, floor}) => move.totalSeconds / floor.totalSeconds),
    downtime: middle(({move, floor}) => move.downtimeSeconds / floor.downtimeSeconds),
    pause: middle(({pauseSeconds, floor}) => pauseSeconds / floor.dumpSeconds),
    resume: middle(({resumeSeconds, floor}) => resumeSeconds / (floor.restoreSeconds + floor.copySeconds)),
  }
}

/** All ways, in an order that is another one each round. */
async function inTurn(cluster: MoveCluster, mebibytes: number, round: number): Promise<Round> {
  const ways = ['floor', 'move', 'pause'] as const
  let floor: Round['floor'] | undefined
  let move: Round['move'] | undefined
  let paused: Pick<Round, 'pauseSeconds' | 'resumeSeconds'> | undefined
  for (const index of ways.keys()) {
    const way = ways[(round + index) % ways.length]
    if (way === 'floor') floor = await floorMove(cluster, mebibytes)
    else if (way === 'move') move = await moveByClouder(cluster, mebibytes)
    else paused = await pauseAndResume(cluster, mebibytes)
  }
  if (floor === undefined || move === undefined || paused === undefined)
    throw new TypeError('a way had no turn')
  const text = (value: number): string => `${value.toFixed(2)} s`
  cluster.tell(
    `${mebibytes} MiB: floor ${text(floor.totalSeconds)} (dump ${text(floor.dumpSeconds)}, copy ${text(floor.copySeconds)}, restore ${text(floor.restoreSeconds)}), downtime ${text(floor.downtimeSeconds)}; clouder ${text(move.totalSeconds)}, downtime ${text(move.downtimeSeconds)}, reported ${text(move.reportedSeconds)}; pause ${text(paused.pauseSeconds)}, resume ${text(paused.resumeSeconds)}`,
  )
  return {floor, move, ...paused}
}

let runs = 0
/** A cluster that is there may have had runs before. */
const RUN = Date.now().toString(36)

/** What a Migration of this file's pods has when it has succeeded. */
const movedSchema = z.object({
  checkpointName: z.string().optional(),
  downtimeMilliseconds: z.int().positive(),
})

async function moveByClouder(cluster: MoveCluster, mebibytes: number): Promise<Round['move']> {
  const pod = `floor-${RUN}-${(runs += 1)}`
  await onPlane(
    cluster,
    ['apply', '-f', '-'],
    JSON.stringify(podOf(pod, mebibytes, SOURCE, {hasProbe: false})),
  )
  await waitReady(cluster, pod)
  const before = await memoryOf(cluster, pod)
  const answers = probe(cluster, {port: PORT, source: await addressesOf(cluster, pod), target: pod})
  const {seconds} = await answers.during(() =>
    cluster.clouder('checkpoint', 'migrate', `default/${pod}`, '--to', TARGET, '--cluster', cluster.name),
  )
  const downtimeSeconds = await answers.downtimeSeconds()
  const after = await memoryOf(cluster, pod)
  if (before !== after) throw new Error(`${pod} held ${before}, and now ${after}`)
  const text = await onPlane(cluster, ['get', MIGRATIONS, '-o', 'json'])
  const {items} = z.object({items: z.array(migrationSchema)}).parse(JSON.parse(text))
  const status = movedSchema.parse(items.find(({spec}) => spec.podName === pod)?.status)
  await onPlane(cluster, ['delete', 'pod', pod, '--wait=true'])
  return {totalSeconds: seconds, downtimeSeconds, reportedSeconds: status.downtimeMilliseconds / 1000}
}

/** By two commands, on whichever nodes the cluster chooses. */
async function pauseAndResume(
  cluster: MoveCluster,
  mebibytes: number,
): Promise<Pick<Round, 'pauseSeconds' | 'resumeSeconds'>> {
  const runtime = `paused-${RUN}-${(runs += 1)}`
  const of = ['--cluster', cluster.name]
  const command = ['/smoke', 'serve', `:${PORT}`, String(mebibytes)]
  const image = ['--image', SMOKE_REFERENCE]
  await cluster.clouder('runtime', 'create', `default/${runtime}`, ...image, ...of, '--', ...command)
  const before = await memoryOfRuntime(cluster, runtime)
  const paused = await cluster.clouder('runtime', 'pause', `default/${runtime}`, ...of)
  const resumed = await cluster.clouder('runtime', 'resume', `default/${runtime}`, ...of)
  const after = await memoryOfRuntime(cluster, runtime)
  if (before !== after) throw new Error(`${runtime} held ${before}, and now ${after}`)
  await cluster.clouder('runtime', 'delete', `default/${runtime}`, ...of, '--yes')
  return {pauseSeconds: paused.seconds, resumeSeconds: resumed.seconds}
}

/** It fills its memory before it answers. */
function memoryOfRuntime(cluster: MoveCluster, runtime: string): Promise<string> {
  const name = [
    'get',
    'pods',
    '-l',
    `${RUNTIME_LABEL}=${runtime}`,
    '-o',
    'jsonpath={.items[0].metadata.name}',
  ]
  return retry(async () => memoryOf(cluster, await onPlane(cluster, name)), {
    timeoutMs: 120_000,
    intervalMs: 200,
    signal: cluster.signal,
    again: () => true,
  })
}
