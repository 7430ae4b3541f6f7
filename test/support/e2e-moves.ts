import {expect} from 'vitest'
import {z} from 'zod'
import {API_VERSION} from '../../src/api/names.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {
  expectSame,
  identityOf,
  NAMESPACE,
  nodeOf,
  run,
  startTraveller,
  type Identity,
} from './e2e-checkpoints.ts'
import {settled, type Place} from './e2e-faults.ts'
import {endOf} from './e2e-results.ts'

const ASK_EVERY_MS = 50
const PORT = 8080
const WORKERS = ['worker-1', 'worker-2'] as const

export interface Moves {
  readonly moves: number
  readonly killed: number
  readonly answers: number
  /** Of moves that brought the pod over; ms. */
  readonly downtimesMs: readonly number[]
}

/**
 * Moves pods back and forth at random while each is asked all the time, and kills the command of every tenth move. None
 * may be lost, and none may ever answer with another token or a lower count than before.
 */
export async function moveAtRandom(
  place: Place,
  {
    moves,
    pods: sizes,
    random,
  }: {readonly moves: number; readonly pods: readonly number[]; readonly random: () => number},
): Promise<Moves> {
  const {cluster} = place
  const names = sizes.map((_, index) => `mover-${index + 1}`)
  for (const [index, mebibytes] of sizes.entries())
    await startTraveller(cluster, names[index] ?? '', {node: WORKERS[index % 2] ?? 'worker-1', mebibytes})
  const before = new Map<string, Identity>()
  for (const name of names) before.set(name, await identityOf(cluster, name))
  const over = new AbortController()
  const watches = names.map((name) => askOn(place, name, before.get(name)?.token ?? '', over.signal))
  const downtimesMs: number[] = []
  let killed = 0
  try {
    for (let move = 0; move < moves; move += 1) {
      const name = names[Math.floor(random() * names.length)] ?? ''
      const target = (await nodeOf(cluster, name)) === 'worker-1' ? 'worker-2' : 'worker-1'
      const kills = random() < 0.1 || move === 2
      const afterMs = random() * 5000
      let timer: NodeJS.Timeout | undefined
      const words = `checkpoint migrate ${NAMESPACE}/${name} --to ${target} --store ${place.store.name}`
      const made = await run(cluster, words, {
        onStart: (child) => {
          if (kills) timer = setTimeout(() => child.kill('SIGKILL'), afterMs)
        },
      }).finally(() => clearTimeout(timer))
      if (made.signal === 'SIGKILL') {
        killed += 1
        await settled(place)
        // Asked again it says how the first one ended, or does it now.
        const again = await run(cluster, words)
        expect(again.exitCode, endOf(again)).toBe(0)
      } else expect(made.exitCode, endOf(made)).toBe(0)
      expect(await nodeOf(cluster, name)).toBe(target)
      const now = await identityOf(cluster, name)
      expectSame(now, before.get(name) ?? now)
      before.set(name, now)
      downtimesMs.push(await lastDowntime(place, name))
    }
  } finally {
    over.abort()
  }
  const told = await Promise.all(watches)
  expect(told.flatMap(({problems}) => problems)).toEqual([])
  const answers = told.reduce((sum, watch) => sum + watch.answers, 0)
  return {moves, killed, answers, downtimesMs}
}

/** Asks a pod on and on; tells every answer that should not have been. */
async function askOn(
  {kube}: Place,
  pod: string,
  token: string,
  over: AbortSignal,
): Promise<{answers: number; problems: string[]}> {
  const problems: string[] = []
  let answers = 0
  let last = 0
  const path = `/api/v1/namespaces/${NAMESPACE}/pods/${pod}:${PORT}/proxy/`
  await waitFor({
    what: 'the moves to end',
    timeoutMs: 6 * 3_600_000,
    intervalMs: ASK_EVERY_MS,
    signal: new AbortController().signal,
    check: async () => {
      if (over.aborted) return {value: true, seen: 'over'}
      // One that stands still does not answer; what it says when it does is what counts.
      const said = await kube.fetch(path, AbortSignal.timeout(5000)).catch(() => undefined)
      const [, seen, text] = /^token=([0-9a-f]+) count=(\d+)/.exec(said?.body ?? '') ?? []
      if (said?.status !== 200 || seen === undefined) return {seen: 'no answer'}
      const count = Number(text)
      answers += 1
      if (seen !== token) problems.push(`${pod} is ${seen}, was ${token}`)
      else if (count < last) problems.push(`${pod} counted ${last}, then ${count}`)
      last = Math.max(last, count)
      return {seen: 'answers'}
    },
  })
  return {answers, problems}
}

const migrationSchema = z.looseObject({
  metadata: z.looseObject({creationTimestamp: z.string()}),
  spec: z.looseObject({podName: z.string()}),
  status: z
    .looseObject({phase: z.string().optional(), downtimeMilliseconds: z.number().optional()})
    .default({}),
})

/** How long the pod stood still in its last move. */
async function lastDowntime({kube}: Place, pod: string): Promise<number> {
  const all = await kube.list({apiVersion: API_VERSION, kind: 'Migration', namespace: NAMESPACE})
  const last = all
    .map((object) => migrationSchema.parse(object))
    .filter(({spec, status}) => spec.podName === pod && status.phase === 'Succeeded')
    .toSorted((a, b) => a.metadata.creationTimestamp.localeCompare(b.metadata.creationTimestamp))
    .at(-1)
  if (last?.status.downtimeMilliseconds === undefined)
    throw new Error(`no move of ${pod} tells how long it stood still`)
  return last.status.downtimeMilliseconds
}

/** `12.3 s`. */
export const medianOf = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b).at(Math.floor(values.length / 2)) ?? Number.NaN
