import {expect, test} from 'vitest'
import {PreflightError} from '../../../../src/bootstrap/errors.ts'
import {runPhases} from '../../../../src/bootstrap/engine/run.ts'
import type {Ahead, Phase, Step} from '../../../../src/bootstrap/engine/types.ts'
import {runOptions, type Runner} from '../../../support/engine-run.ts'

interface Context {
  /** Number of the round that plans; 0: planned in its turn. */
  readonly round: number
  readonly note: (text: string) => void
}

type TestPhase = Phase<Context, Runner>

const step = (summary: string, act: () => void): Step<Runner> => ({
  summary,
  reason: `${summary} is needed`,
  run: () => {
    act()
    return Promise.resolve()
  },
})

/** A run over phases that write down when they are planned, and in which round. */
function scene() {
  const log: string[] = []
  const context: Context = {round: 0, note: (text) => void log.push(`note ${text}`)}
  let rounds = 0
  const ahead: Ahead<Context> = ({note}) => {
    rounds += 1
    const round = rounds
    return {
      forPhase: () => {
        const notes: string[] = []
        return {
          context: {round, note: (text) => void notes.push(text)},
          tell: () => notes.forEach(note),
        }
      },
      end: () => void log.push(`end ${round}`),
    }
  }
  const phase = (id: string, plan: TestPhase['plan'] = () => Promise.resolve([])): TestPhase => ({
    id,
    title: `Reach ${id}`,
    plan: (given, signal) => {
      log.push(`plan ${id} in ${given.round}`)
      return plan(given, signal)
    },
  })
  return {log, context, ahead, phase}
}

/** Steps until they have run. */
function untilRun(log: string[], id: string): TestPhase['plan'] {
  let done = false
  const run = (): void => {
    done = true
    log.push(`run ${id}`)
  }
  return () => Promise.resolve(done ? [] : [step(id, run)])
}

test('phases are planned side by side before their turn, and reported in their order', async () => {
  const {log, context, ahead, phase} = scene()
  const {options, told} = runOptions()
  const second = Promise.withResolvers<readonly Step<Runner>[]>()
  const phases = [
    // Ends only when the one after it is being planned.
    phase('a', () => second.promise),
    phase('b', () => {
      second.resolve([])
      return Promise.resolve([])
    }),
    phase('c'),
  ]
  const {steps} = await runPhases(phases, context, options, ahead)
  expect(steps).toEqual([])
  expect(log).toEqual(['plan a in 1', 'plan b in 1', 'plan c in 1', 'end 1'])
  expect(told.events.map((event) => ('phase' in event ? `${event.type} ${event.phase}` : ''))).toEqual([
    'phase-started a',
    'phase-done a',
    'phase-started b',
    'phase-done b',
    'phase-started c',
    'phase-done c',
  ])
})

test('a change makes every plan from before it void; the next phase is planned alone, the first that has nothing begins a round', async () => {
  const {log, context, ahead, phase} = scene()
  const {options} = runOptions()
  const phases = [
    phase('a'),
    phase('b', untilRun(log, 'b')),
    phase('c', untilRun(log, 'c')),
    phase('d'),
    phase('e'),
    phase('f'),
  ]
  const {steps} = await runPhases(phases, context, options, ahead)
  expect(steps.map(({phase: id}) => id)).toEqual(['b', 'c'])
  expect(log).toEqual([
    ...['a', 'b', 'c', 'd', 'e', 'f'].map((id) => `plan ${id} in 1`),
    'end 1',
    'run b',
    'plan c in 0',
    'run c',
    'plan d in 0',
    'plan e in 2',
    'plan f in 2',
    'end 2',
  ])
})

test('what phases note is reported in their turn, and what a void plan noted is not', async () => {
  const {log, context, ahead, phase} = scene()
  const {options} = runOptions()
  const noting =
    (id: string): TestPhase['plan'] =>
    ({note, round}) => {
      note(`${id} ${round}`)
      return Promise.resolve([])
    }
  const late = Promise.withResolvers<undefined>()
  const phases = [
    phase('a', async (given, signal) => {
      await late.promise
      return noting('a')(given, signal)
    }),
    phase('b', (given, signal) => {
      late.resolve(undefined)
      return noting('b')(given, signal)
    }),
    phase('c', untilRun(log, 'c')),
    phase('d', noting('d')),
  ]
  await runPhases(phases, context, options, ahead)
  expect(log.filter((line) => line.startsWith('note'))).toEqual(['note a 1', 'note b 1', 'note d 0'])
})

test('the failure of an early plan is that of its phase in its turn, and of a void one nothing is known', async () => {
  const {log, context, ahead, phase} = scene()
  const {options, told} = runOptions()
  const failing: TestPhase['plan'] = () => Promise.reject(new PreflightError([]))
  const onlyEarly: TestPhase['plan'] = ({round}) =>
    round === 1 ? Promise.reject(new Error('not yet')) : Promise.resolve([])
  const phases = [phase('a', untilRun(log, 'a')), phase('b', onlyEarly), phase('c'), phase('d', failing)]
  const error = await runPhases(phases, context, options, ahead).catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(PreflightError)
  expect(error).toMatchObject({phase: 'd'})
  expect(told.of('phase-failed').map((event) => event.phase)).toEqual(['d'])
  expect(told.of('phase-done').map((event) => event.phase)).toEqual(['a', 'b', 'c'])
})

test('no step runs beside a plan: those that are void are stopped and awaited', async () => {
  const {log, context, ahead, phase} = scene()
  const {options} = runOptions()
  const hanging: TestPhase['plan'] = async ({round}, signal) => {
    if (round === 0) return []
    await new Promise((resolve) => signal.addEventListener('abort', resolve, {once: true}))
    await new Promise((resolve) => setImmediate(resolve))
    log.push('stopped')
    signal.throwIfAborted()
    return []
  }
  await runPhases([phase('a', untilRun(log, 'a')), phase('b', hanging)], context, options, ahead)
  expect(log).toEqual(['plan a in 1', 'plan b in 1', 'end 1', 'stopped', 'run a', 'plan b in 0'])
})

test('a dry run keeps one round, whatever its phases would do, and leaves out what is skipped', async () => {
  const {log, context, ahead, phase} = scene()
  const {options} = runOptions({dryRun: true, skip: ['c']})
  const phases = [phase('a', untilRun(log, 'a')), phase('b', untilRun(log, 'b')), phase('c'), phase('d')]
  const {steps} = await runPhases(phases, context, options, ahead)
  expect(steps.map(({phase: id}) => id)).toEqual(['a', 'b'])
  expect(log).toEqual(['plan a in 1', 'plan b in 1', 'plan d in 1', 'end 1'])
})

test('an interruption ends the plans of all phases', async () => {
  const {context, ahead, phase} = scene()
  const aborting = new AbortController()
  const {options} = runOptions({signal: aborting.signal})
  const stopped: string[] = []
  const hanging =
    (id: string): TestPhase['plan'] =>
    async (_context, signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, {once: true}))
      stopped.push(id)
      throw new Error('cut off')
    }
  const run = runPhases([phase('a', hanging('a')), phase('b', hanging('b'))], context, options, ahead)
  aborting.abort()
  await expect(run).rejects.toMatchObject({code: 'INTERRUPTED'})
  expect(stopped).toEqual(['a', 'b'])
})
