import {expect, test} from 'vitest'
import type {RunEvent} from '../../../../src/base/run-events.ts'
import {linesReporter} from '../../../../src/cli/reporters/lines.ts'

/** A reporter on a clock that is turned on by the test, and what it wrote. */
function reporterOnClock() {
  let at = 0
  let due: {readonly atMs: number; readonly call: () => void} | undefined
  const lines: string[] = []
  const reporter = linesReporter({
    write: (line) => lines.push(line.trimEnd()),
    now: () => at,
    after: (delayMs, call) => {
      const mine = {atMs: at + delayMs, call}
      due = mine
      return () => {
        if (due === mine) due = undefined
      }
    },
  })
  const passMs = (durationMs: number): readonly string[] => {
    const before = lines.length
    const end = at + durationMs
    while (due !== undefined && due.atMs <= end) {
      const {atMs, call} = due
      at = atMs
      due = undefined
      call()
    }
    at = end
    return lines.slice(before)
  }
  const report = (...events: readonly RunEvent[]) => {
    for (const event of events) reporter.report(event)
  }
  return {report, passMs, pause: () => reporter.pause(), lines}
}

const taskOf = (name: string) => ({task: `bundle-${name}`, title: `Bundle ${name}`})
const started = (name: string): RunEvent => ({type: 'task-started', ...taskOf(name)})
const compiling: RunEvent = {
  type: 'task-progress',
  task: 'bundle-kubernetes',
  text: 'compiling kubernetes',
}

test('a step that reports nothing for ten minutes is told every 30 seconds, with what is left', () => {
  const {report, passMs} = reporterOnClock()
  report(
    {type: 'tasks-planned', tasks: ['kubernetes', 'etcd', 'containerd'].map(taskOf)},
    started('kubernetes'),
    compiling,
  )
  const said = passMs(600_000)
  expect(said).toHaveLength(40)
  expect(said.slice(0, 2)).toEqual([
    '[  30.0s] bundle-kubernetes  still running: compiling kubernetes (30.0 s)',
    '[  30.0s] next  2 more: bundle-etcd, bundle-containerd',
  ])
  expect(said.at(-2)).toBe('[ 600.0s] bundle-kubernetes  still running: compiling kubernetes (10 min 0 s)')
})

test('no 30 seconds pass without a line, whenever the last one came', () => {
  const {report, passMs} = reporterOnClock()
  report(started('kubernetes'))
  expect(passMs(29_000)).toEqual([])
  report(compiling)
  expect(passMs(29_999)).toEqual([])
  expect(passMs(1)).toHaveLength(1)
})

test('progress that is held back for being too quick does not count as a line', () => {
  const {report, passMs} = reporterOnClock()
  report(started('kubernetes'), compiling)
  expect(passMs(1000)).toEqual([])
  report({...compiling, text: 'still'})
  expect(passMs(29_000)).toEqual(['[  30.0s] bundle-kubernetes  still running: still (30.0 s)'])
})

test('a phase tells the steps that run and how many are done', () => {
  const {report, passMs} = reporterOnClock()
  const phase = 'join'
  const step = 'join as worker'
  const hosts = ['worker-1', 'worker-2']
  report(
    {type: 'phase-started', phase, title: 'Join the machines'},
    {type: 'phase-planned', phase, steps: hosts.map((host) => ({host, step, reason: 'not a node'}))},
    ...hosts.map((host): RunEvent => ({type: 'step-started', phase, host, step, reason: 'not a node'})),
    {type: 'step-done', phase, host: 'worker-1', step, durationMs: 5},
  )
  expect(passMs(30_000)).toEqual([
    '[  30.0s] join  still running: worker-2: join as worker (30.0 s, 1 of 2 steps done)',
  ])
})

test('nothing is told of what has ended, failed, or left the terminal to others', async () => {
  const {report, passMs, pause} = reporterOnClock()
  const done = {type: 'task-done', task: 'bundle-kubernetes', durationMs: 5} as const
  report(started('kubernetes'), done, started('etcd'))
  report({type: 'task-failed', task: 'bundle-etcd', durationMs: 5, message: 'no module'})
  expect(passMs(90_000)).toEqual([])
  report(started('containerd'))
  await pause()
  expect(passMs(90_000)).toEqual([])
  report({type: 'task-progress', task: 'bundle-containerd', text: 'compiling'})
  expect(passMs(30_000)).toHaveLength(1)
})
