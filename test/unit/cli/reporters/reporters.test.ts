import {readFile, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {jsonReporter} from '../../../../src/cli/reporters/json.ts'
import {addLanes, changeLane, laneLines, type Item} from '../../../../src/cli/reporters/host-progress.ts'
import {describeEvent, linesReporter} from '../../../../src/cli/reporters/lines.ts'
import {logFile} from '../../../../src/cli/reporters/log-file.ts'
import {reportTo} from '../../../../src/cli/reporters/reporter.ts'
import {palette} from '../../../../src/cli/terminal.ts'
import type {RunEvent} from '../../../../src/base/run-events.ts'
import {createRedactor} from '../../../../src/base/redaction.ts'
import {recordedRun} from '../../../support/recorded-run.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

/** A clock that goes on by 100 ms each time somebody looks. */
function tickingClock(): () => number {
  let at = -100
  return () => (at += 100)
}

test('plain lines tell every event with the time since the start', () => {
  let text = ''
  const reporter = linesReporter({write: (line) => (text += line), now: tickingClock()})
  for (const event of recordedRun) reporter.report(event)
  const untimed = text.replaceAll(/^\[ *\d+\.\ds\] /gm, '')
  expect(text.split('\n')[0]).toBe('[   0.2s] machines  Make 2 machines')
  expect(untimed).toBe(`machines  Make 2 machines
machines  starting cp-1
warning  cp-1  swap is on
machines  done: 2 made, 0.8 s
kernel  Preparing the kernel
kernel  already done
containerd  Install and configure containerd
containerd  3 steps to do
containerd  cp-1  write /etc/containerd/config.toml (absent)
containerd  worker-1  write /etc/containerd/config.toml (differs)
containerd  worker-1  write /etc/containerd/config.toml: 45 %
containerd  cp-1  done: write /etc/containerd/config.toml, 0.4 s
containerd  worker-1  FAILED: write /etc/containerd/config.toml: no space left on device
containerd  FAILED after 1.2 s
`)
})

test('plain lines of a dry run say what is planned, and never that it is done', () => {
  const end = {type: 'phase-done', durationMs: 5} as const
  expect(describeEvent({...end, phase: 'containerd', steps: 1, dryRun: true})).toBe(
    'containerd  planned: 1 step',
  )
  expect(describeEvent({...end, phase: 'containerd', steps: 2})).toBe('containerd  done: 2 steps, 0.0 s')
  expect(describeEvent({...end, phase: 'preflight', steps: 0})).toBe('preflight  checks passed')
})

test('a note that begins with its host tells it once', () => {
  const note = {type: 'note', level: 'warning', host: 'cp-1'} as const
  expect(describeEvent({...note, text: 'cp-1 (192.0.2.1:22) cannot be reached'})).toBe(
    'warning  cp-1 (192.0.2.1:22) cannot be reached',
  )
  expect(describeEvent({...note, text: 'swap is on'})).toBe('warning  cp-1  swap is on')
})

test('plain lines tell progress every two seconds at most', () => {
  let at = 0
  const lines: string[] = []
  const reporter = linesReporter({write: (line) => lines.push(line), now: () => at})
  for (; at < 5000; at += 100) reporter.report({type: 'task-progress', task: 'bundle', text: `${at} ms`})
  expect(lines).toEqual([
    '[   0.0s] bundle  0 ms\n',
    '[   2.0s] bundle  2000 ms\n',
    '[   4.0s] bundle  4000 ms\n',
  ])
})

test('JSON is one object per line, with type and time first', () => {
  const lines: string[] = []
  const now = () => new Date('2026-11-21T09:14:02.000Z')
  const reporter = jsonReporter({write: (line) => lines.push(line), now})
  for (const event of recordedRun) reporter.report(event)
  expect(lines).toHaveLength(recordedRun.length)
  expect(lines[3]).toBe(
    '{"type":"task-done","time":"2026-11-21T09:14:02.000Z","task":"machines","durationMs":800,"text":"2 made"}\n',
  )
  expect(lines.every((line) => line.endsWith('}\n') && line.indexOf('\n') === line.length - 1)).toBe(true)
})

test('the run log has every event and each planned step, is private, and is made with the first event', async () => {
  await withTempFolder(async (dir) => {
    const path = join(dir, 'logs', 'run.log')
    const log = logFile(path, () => new Date('2026-11-21T09:14:02.000Z'))
    expect(log.written()).toBe(false)
    await expect(stat(path)).rejects.toMatchObject({code: 'ENOENT'})
    for (const event of recordedRun) log.report(event)
    log.append('Error: containerd failed on worker-1\n')
    const text = await readFile(path, 'utf8')
    expect(text).toContain(
      '2026-11-21T09:14:02.000Z containerd  3 steps to do\n    cp-1: write /etc/containerd',
    )
    expect(text).toContain('\n    worker-1: restart containerd (its configuration changes)\n')
    expect(text.endsWith('Error: containerd failed on worker-1\n')).toBe(true)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })
})

test('a secret reaches no reporter, in no field', () => {
  const redactor = createRedactor()
  redactor.add('s3cr3t-token')
  const seen: RunEvent[] = []
  const report = reportTo([{report: (event) => seen.push(event), pause: () => Promise.resolve()}], (text) =>
    redactor.redact(text),
  )
  report({type: 'note', level: 'info', text: 'joined with s3cr3t-token', host: 'cp-1'})
  report({type: 'phase-planned', phase: 'join', steps: [{step: 'use s3cr3t-token', reason: 's3cr3t-token'}]})
  report({type: 'step-failed', phase: 'join', step: 's', durationMs: 1, message: 'bad s3cr3t-token'})
  expect(JSON.stringify(seen)).not.toContain('s3cr3t')
  expect(seen.map(({type}) => type)).toEqual(['note', 'phase-planned', 'step-failed'])
})

function itemOf(events: readonly RunEvent[]): Item {
  const item: Item = {title: 'containerd', startedAt: 0, lanes: new Map(), text: ''}
  for (const event of events) {
    if (event.type === 'phase-planned') addLanes(item, event.steps)
    if (event.type === 'step-started' || event.type === 'step-progress') changeLane(item, event)
    if (event.type === 'step-done' || event.type === 'step-failed') changeLane(item, event)
  }
  return item
}

test('below a phase each host is drawn with what it does', () => {
  const running = itemOf(recordedRun.slice(0, -2))
  expect(laneLines(running, palette(false), 'all')).toEqual([
    '  cp-1      done',
    '  worker-1 0/2  write /etc/containerd/config.toml: 45 %',
  ])
})

test('a phase that failed keeps the hosts that failed', () => {
  expect(laneLines(itemOf(recordedRun), palette(false), 'failed')).toEqual([
    '  worker-1 0/2  write /etc/containerd/config.toml: no space left on device',
  ])
})

test('the cluster is drawn while a step of its own runs, not while hosts work', () => {
  const phase = 'join'
  const token = {type: 'step-started', phase, step: 'create a join token', reason: 'r'} as const
  const begun: RunEvent[] = [
    {
      type: 'phase-planned',
      phase,
      steps: [
        {step: token.step, reason: 'r'},
        {host: 'worker-1', step: 'join as worker', reason: 'r'},
        {step: 'delete the join token', reason: 'r'},
      ],
    },
    token,
  ]
  expect(laneLines(itemOf(begun), palette(false), 'all')).toEqual([
    '  cluster  0/2  create a join token',
    '  worker-1  waiting',
  ])
  const joining: RunEvent[] = [
    ...begun,
    {type: 'step-done', phase, step: token.step, durationMs: 1},
    {type: 'step-started', phase, host: 'worker-1', step: 'join as worker', reason: 'r'},
  ]
  expect(laneLines(itemOf(joining), palette(false), 'all')).toEqual(['  worker-1  join as worker'])
})

test('many hosts are drawn as one line', () => {
  const steps = Array.from({length: 1000}, (_, at) => ({host: `worker-${at}`, step: 's', reason: 'r'}))
  const done = steps
    .slice(0, 7)
    .map(({host, step}): RunEvent => ({type: 'step-done', phase: 'p', host, step, durationMs: 1}))
  const item = itemOf([{type: 'phase-planned', phase: 'p', steps}, ...done])
  expect(laneLines(item, palette(false), 'all')).toEqual(['  7 of 1000 hosts done'])
})
