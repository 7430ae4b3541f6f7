import {expect} from 'vitest'
import {z} from 'zod'
import {API_VERSION} from '../../src/api/names.ts'
import {NAMESPACE, run} from './e2e-checkpoints.ts'
import {copiesAtOnce, watchCopies} from './e2e-copies.ts'
import {settled, type Place} from './e2e-faults.ts'
import {answersOf, askOn, podOf, startMover, type Answer, type Mover} from './e2e-movers.ts'
import {endOf} from './e2e-results.ts'

const WORKERS = ['worker-1', 'worker-2'] as const
/** Long enough for every phase of a move to be hit. */
const LATEST_MS = 5000
const CANCEL_EVERY_MS = 100

export interface Moves {
  readonly moves: number
  /** Of which the pod was brought over, and of which it stayed, as the move was cancelled in time. */
  readonly done: number
  readonly stayed: number
  readonly killed: number
  readonly cancelled: number
  readonly direct: number
  readonly answers: number
  /** Of moves that brought the pod over; ms. */
  readonly downtimesMs: readonly number[]
}

/** One of each kind, and one of two containers. */
export const MOVERS: readonly Mover[] = [
  {name: 'mover-pod', kind: 'Pod', mebibytes: [16]},
  {name: 'mover-set', kind: 'ReplicaSet', mebibytes: [32]},
  {name: 'mover-state', kind: 'StatefulSet', mebibytes: [64]},
  {name: 'mover-two', kind: 'Pod', mebibytes: [20, 24]},
]

/** What is done to a move besides: its command is killed, or its Migration deleted. */
type Disturbance = 'killed' | 'cancelled' | undefined

/**
 * Moves pods back and forth at random while each is asked all the time; the command of every tenth move is killed, and
 * every tenth move is cancelled. None may be lost, none may ever answer with another token or a lower count than before,
 * and at no time may two copies of one run.
 */
export async function moveAtRandom(
  place: Place,
  {moves, random}: {readonly moves: number; readonly random: () => number},
): Promise<Moves> {
  const {cluster} = place
  for (const [index, mover] of MOVERS.entries())
    await startMover(cluster, mover, WORKERS[index % 2] ?? 'worker-1')
  const known = new Map<string, readonly Answer[]>()
  for (const mover of MOVERS) {
    await podOf(cluster, mover)
    known.set(mover.name, await answersOf(place, mover))
  }
  const over = new AbortController()
  const watches = MOVERS.map((mover) =>
    askOn(place, mover, known.get(mover.name)?.map(({token}) => token) ?? [], over.signal),
  )
  const copies = await watchCopies(cluster)
  const done: Ended[] = []
  const count = {killed: 0, cancelled: 0, stayed: 0}
  try {
    for (let move = 0; move < moves; move += 1) {
      const mover = MOVERS[Math.floor(random() * MOVERS.length)] ?? MOVERS[0]
      if (mover === undefined) throw new Error('there is nobody to move')
      // The first ones of each run are disturbed for sure.
      const chance = random()
      const disturbance: Disturbance =
        move === 2 || chance < 0.1 ? 'killed' : move === 4 || chance > 0.9 ? 'cancelled' : undefined
      const from = (await podOf(cluster, mover)).node
      const ended = await moveOnce(place, mover, disturbance, random() * LATEST_MS)
      if (ended.disturbed) count[disturbance ?? 'killed'] += 1
      const {node} = await podOf(cluster, mover)
      const now = await answersOf(place, mover)
      expectOn(mover, now, known.get(mover.name) ?? [])
      known.set(mover.name, now)
      if (node === from) {
        expect(disturbance, `${mover.name} is still on ${from}`).toBe('cancelled')
        count.stayed += 1
      } else done.push(await lastMove(place, mover))
    }
  } finally {
    over.abort()
  }
  const told = await Promise.all(watches)
  const spans = await copies.ended()
  expect(told.flatMap(({problems}) => problems)).toEqual([])
  expect(copiesAtOnce(spans)).toEqual([])
  // That the watch saw something: each container ran on both nodes, or was not moved at all.
  for (const {name, mebibytes} of MOVERS)
    for (const size of mebibytes)
      expect(
        spans.some((span) => span.argument === String(size)),
        `${name} was seen to run`,
      ).toBe(true)
  return {
    moves,
    ...count,
    done: done.length,
    direct: done.filter(({way}) => way === 'Direct').length,
    answers: told.reduce((sum, watch) => sum + watch.answers, 0),
    downtimesMs: done.flatMap(({downtimeMs}) => downtimeMs ?? []),
  }
}

function expectOn(mover: Mover, now: readonly Answer[], before: readonly Answer[]): void {
  expect(
    now.map(({token}) => token),
    mover.name,
  ).toEqual(before.map(({token}) => token))
  for (const [index, {count}] of now.entries())
    expect(count, `${mover.name}/${index}`).toBeGreaterThan(before[index]?.count ?? 0)
}

/** One move to the other node, and when it was disturbed, how it ended; a killed command is run again. */
async function moveOnce(
  place: Place,
  mover: Mover,
  disturbance: Disturbance,
  afterMs: number,
): Promise<{readonly disturbed: boolean}> {
  const {cluster} = place
  const pod = await podOf(cluster, mover)
  const target = pod.node === 'worker-1' ? 'worker-2' : 'worker-1'
  const words = `checkpoint migrate ${NAMESPACE}/${pod.name} --to ${target} --store ${place.store.name}`
  let timer: NodeJS.Timeout | undefined
  let cancelling: Promise<boolean> | undefined
  const made = await run(cluster, words, {
    onStart: (child) => {
      if (disturbance === 'killed') timer = setTimeout(() => child.kill('SIGKILL'), afterMs)
      if (disturbance === 'cancelled') cancelling = cancel(place, pod.name, afterMs, child)
    },
  }).finally(() => clearTimeout(timer))
  const wasCancelled = (await cancelling) === true
  if (made.signal === 'SIGKILL' || wasCancelled) await settled(place)
  if (wasCancelled) return {disturbed: true}
  if (made.signal !== 'SIGKILL') {
    expect(made.exitCode, endOf(made)).toBe(0)
    return {disturbed: false}
  }
  // Asked again it says how the first one ended, or does it now; the new pod of a ReplicaSet has another name.
  const now = await podOf(cluster, mover)
  if (now.node !== target || now.name === pod.name) {
    const again = await run(cluster, words)
    expect(again.exitCode, endOf(again)).toBe(0)
  }
  return {disturbed: true}
}

const migrationSchema = z.looseObject({
  metadata: z.looseObject({name: z.string(), creationTimestamp: z.string()}),
  spec: z.looseObject({podName: z.string()}),
  status: z
    .looseObject({
      phase: z.string().optional(),
      way: z.string().optional(),
      newPodName: z.string().optional(),
      downtimeMilliseconds: z.number().optional(),
    })
    .default({}),
})

async function migrations({kube}: Pick<Place, 'kube'>) {
  const all = await kube.list({apiVersion: API_VERSION, kind: 'Migration', namespace: NAMESPACE})
  return all.map((object) => migrationSchema.parse(object))
}

const OVER: readonly unknown[] = ['Succeeded', 'RolledBack', 'Failed']

/** Deletes the Migration of a pod some time after it is there; whether it was not over by then. */
async function cancel(
  place: Place,
  pod: string,
  afterMs: number,
  child: {readonly exitCode: number | null; readonly signalCode: NodeJS.Signals | null},
): Promise<boolean> {
  const open = async () =>
    (await migrations(place)).find(({spec, status}) => spec.podName === pod && !OVER.includes(status.phase))
  while (child.exitCode === null && child.signalCode === null && (await open()) === undefined)
    await new Promise((resolve) => setTimeout(resolve, CANCEL_EVERY_MS))
  await new Promise((resolve) => setTimeout(resolve, afterMs))
  const migration = await open()
  if (migration === undefined) return false
  const {name} = migration.metadata
  await place.kube.delete({apiVersion: API_VERSION, kind: 'Migration', namespace: NAMESPACE, name})
  return true
}

interface Ended {
  readonly way: string
  readonly downtimeMs: number | undefined
}

/** How the last move of a mover went that brought it over; of one that was deleted since, nothing is known. */
async function lastMove(place: Place, mover: Mover): Promise<Ended> {
  const {name} = await podOf(place.cluster, mover)
  const last = (await migrations(place))
    .filter(({status}) => status.newPodName === name && status.phase === 'Succeeded')
    .toSorted((a, b) => a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp))
    .at(-1)
  return {way: last?.status.way ?? '', downtimeMs: last?.status.downtimeMilliseconds}
}

export const medianOf = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b).at(Math.floor(values.length / 2)) ?? Number.NaN
