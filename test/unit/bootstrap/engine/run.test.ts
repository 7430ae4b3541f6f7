import {createHash} from 'node:crypto'
import {expect, test} from 'vitest'
import {runPhases} from '../../../../src/bootstrap/engine/run.ts'
import type {HostStep, Phase, Step, StepContext} from '../../../../src/bootstrap/engine/types.ts'
import {AbortError, ConfigError, ConnectionError, HostsFailedError} from '../../../../src/base/errors.ts'
import {HostCommandError, PreflightError} from '../../../../src/bootstrap/errors.ts'
import type {Host} from '../../../../src/bootstrap/hosts/host.ts'
import {namedHost, runOptions, type Runner} from '../../../support/engine-run.ts'
import {fakeFacts, fakeMachine} from '../../../support/fake-host.ts'
import {fixedClock} from '../../../support/fixed-clock.ts'
import {memoryJournal} from '../../../support/memory-journal.ts'

interface Context {
  readonly log: string[]
}

const phase = (
  id: string,
  steps: readonly Step<Runner>[] = [],
  more: Partial<Phase<Context, Runner>> = {},
): Phase<Context, Runner> => ({
  id,
  title: `Reach ${id}`,
  plan: ({log}) => {
    log.push(`plan ${id}`)
    return Promise.resolve(steps)
  },
  ...more,
})

const on = (name: string, summary: string, run?: HostStep['run']): HostStep => ({
  on: namedHost(name),
  summary,
  reason: `${summary} is needed`,
  run: run ?? (() => Promise.resolve()),
})

const cluster = (
  summary: string,
  run?: (tools: Runner, context: StepContext) => Promise<void>,
): Step<Runner> => ({
  summary,
  reason: `${summary} is needed`,
  run: run ?? (() => Promise.resolve()),
})

const commandFailed = (host: string): HostCommandError =>
  new HostCommandError('HOST_COMMAND_FAILED', `false exited with code 1 on ${host}`, {
    host,
    command: 'false',
    exitCode: 1,
    signal: undefined,
    stdout: '',
    stderr: '',
  })

async function failureOf(run: Promise<unknown>): Promise<unknown> {
  return await run.then(
    () => undefined,
    (error: unknown) => error,
  )
}

async function hostsFailed(run: Promise<unknown>): Promise<HostsFailedError> {
  const error = await failureOf(run)
  if (error instanceof HostsFailedError) return error
  throw new Error(`expected HostsFailedError, got ${String(error)}`)
}

test('phases run one after the other, each planned only when its turn has come', async () => {
  const log: string[] = []
  const logged = (text: string): Step<Runner> =>
    cluster(text, () => {
      log.push(text)
      return Promise.resolve()
    })
  const {options, told} = runOptions()
  const summary = await runPhases(
    [phase('a', [logged('one'), logged('two')]), phase('b'), phase('c', [logged('three')])],
    {log},
    options,
  )
  expect(log).toEqual(['plan a', 'one', 'two', 'plan b', 'plan c', 'three'])
  expect(summary.steps.map(({phase: id, step}) => `${id}: ${step}`)).toEqual(['a: one', 'a: two', 'c: three'])
  expect(told.of('phase-done').map((event) => event.steps)).toEqual([2, 0, 1])
  expect(told.of('phase-planned').map((event) => event.phase)).toEqual(['a', 'c'])
})

test('a phase tells its start, plan, steps and end, with durations', async () => {
  const clock = fixedClock()
  const {options, told} = runOptions({now: clock.now})
  const step = on('cp-1', 'write file', (_host, context) => {
    clock.advance(40)
    context.progress('half')
    clock.advance(2)
    return Promise.resolve()
  })
  const summary = await runPhases([phase('kernel', [step])], {log: []}, options)
  const at = {phase: 'kernel', step: 'write file', host: 'cp-1'}
  expect(told.events).toEqual([
    {type: 'phase-started', phase: 'kernel', title: 'Reach kernel'},
    {
      type: 'phase-planned',
      phase: 'kernel',
      steps: [{host: 'cp-1', step: 'write file', reason: 'write file is needed'}],
    },
    {type: 'step-started', ...at, reason: 'write file is needed'},
    {type: 'step-progress', ...at, text: 'half'},
    {type: 'step-done', ...at, durationMs: 42},
    {type: 'phase-done', phase: 'kernel', durationMs: 42, steps: 1},
  ])
  expect(summary).toEqual({
    steps: [{phase: 'kernel', host: 'cp-1', step: 'write file', reason: 'write file is needed'}],
    durationMs: 42,
  })
})

test('a dry run plans every phase and never calls run', async () => {
  const log: string[] = []
  const never = (): Promise<void> => Promise.reject(new Error('a dry run must not run steps'))
  const journal = memoryJournal()
  const {options, told} = runOptions({dryRun: true, journal})
  const summary = await runPhases(
    [phase('a', [on('cp-1', 'one', never)]), phase('b', [cluster('two', never)])],
    {log},
    options,
  )
  expect(log).toEqual(['plan a', 'plan b'])
  expect(summary.steps).toEqual([
    {phase: 'a', host: 'cp-1', step: 'one', reason: 'one is needed'},
    {phase: 'b', step: 'two', reason: 'two is needed'},
  ])
  expect(journal.entries).toEqual([])
  expect(told.of('phase-done')).toMatchObject([
    {steps: 1, dryRun: true},
    {steps: 1, dryRun: true},
  ])
})

test('a phase that is skipped is neither planned nor run', async () => {
  const log: string[] = []
  const {options, told} = runOptions({skip: ['b']})
  await runPhases([phase('a'), phase('b', [cluster('x')]), phase('c')], {log}, options)
  expect(log).toEqual(['plan a', 'plan c'])
  expect(told.of('note')[0]?.text).toContain('b skipped')
})

test('an unknown phase to skip is an error that names the known ones, before anything is planned', async () => {
  const log: string[] = []
  const {options} = runOptions({skip: ['b', 'cnii']})
  const error = await failureOf(runPhases([phase('a'), phase('b')], {log}, options))
  expect(error).toBeInstanceOf(ConfigError)
  expect(error).toMatchObject({
    code: 'FLAG_INVALID',
    message: 'no phase "cnii" to skip, expected one of a, b',
  })
  expect(log).toEqual([])
})

test('steps of one host run in order, hosts side by side, up to the limit', async () => {
  let running = 0
  let most = 0
  const order = new Map<string, string[]>()
  const work = (name: string, summary: string): HostStep =>
    on(name, summary, async () => {
      running += 1
      most = Math.max(most, running)
      await new Promise((resolve) => setImmediate(resolve))
      order.set(name, [...(order.get(name) ?? []), summary])
      running -= 1
    })
  const names = Array.from({length: 9}, (_, index) => `worker-${index}`)
  const steps = ['one', 'two', 'three'].flatMap((summary) => names.map((name) => work(name, summary)))
  const {options} = runOptions({concurrency: 4})
  await runPhases([phase('a', steps)], {log: []}, options)
  expect(most).toBe(4)
  expect([...order.values()]).toEqual(names.map(() => ['one', 'two', 'three']))
})

test('a step gets the host that may be changed, a cluster step the tools', async () => {
  const seen: string[] = []
  const {options} = runOptions()
  const steps = [
    on('cp-1', 'one', (host) => {
      seen.push(host.name)
      return Promise.resolve()
    }),
    cluster('two', (tools) => {
      seen.push(tools.tool)
      return Promise.resolve()
    }),
  ]
  await runPhases([phase('a', steps)], {log: []}, options)
  expect(seen).toEqual(['cp-1', 'hammer'])
})

test('a cluster step stands between what comes before and after it', async () => {
  const log: string[] = []
  const tell = (text: string) => async (): Promise<void> => {
    log.push(`start ${text}`)
    await new Promise((resolve) => setImmediate(resolve))
    log.push(`end ${text}`)
  }
  const {options} = runOptions()
  const steps = [
    on('a', '1', tell('a1')),
    on('b', '1', tell('b1')),
    cluster('c', tell('c')),
    on('a', '2', tell('a2')),
    on('b', '2', tell('b2')),
  ]
  await runPhases([phase('p', steps)], {log: []}, options)
  expect(log.slice(0, 2)).toEqual(['start a1', 'start b1'])
  expect(log.slice(4, 6)).toEqual(['start c', 'end c'])
  expect(log.slice(6, 8)).toEqual(['start a2', 'start b2'])
  expect(log).toHaveLength(10)
})

test('a host that fails stops itself alone; all failures are gathered; what comes after does not run', async () => {
  const log: string[] = []
  const ok = (text: string) => async (): Promise<void> => {
    await new Promise((resolve) => setImmediate(resolve))
    log.push(text)
  }
  const steps = [
    on('a', '1', () => Promise.reject(commandFailed('a'))),
    on('a', '2', ok('a2')),
    on('b', '1', ok('b1')),
    on('b', '2', ok('b2')),
    on('c', '1', ok('c1')),
    on('c', '2', () => Promise.reject(commandFailed('c'))),
    cluster('barrier', ok('barrier')),
    on('b', '3', ok('b3')),
  ]
  const {options, told} = runOptions()
  const error = await hostsFailed(
    runPhases([phase('p', steps), phase('q', [cluster('later', ok('later'))])], {log}, options),
  )
  expect(log.sort()).toEqual(['b1', 'b2', 'c1', 'plan p'])
  expect(error.message).toBe('p failed on a, c')
  expect(error.exitCode).toBe(7)
  expect(error.failures).toMatchObject([
    {host: 'a', phase: 'p', step: '1'},
    {host: 'c', phase: 'p', step: '2'},
  ])
  expect(told.of('step-failed').map(({host, step}) => `${host ?? ''} ${step}`)).toEqual(['a 1', 'c 2'])
  expect(told.of('phase-failed')).toMatchObject([{phase: 'p'}])
  expect(told.of('phase-done')).toEqual([])
})

test('a cluster step that fails is told as the cluster', async () => {
  const {options} = runOptions()
  const steps = [cluster('apply', () => Promise.reject(new Error('refused'))), on('a', '1')]
  const error = await hostsFailed(runPhases([phase('cni', steps)], {log: []}, options))
  expect(error.message).toBe('cni failed on the cluster')
  expect(error.failures).toMatchObject([{host: undefined, step: 'apply'}])
})

test('a host that is not known fails as that host', async () => {
  const {options} = runOptions({
    hostFor: (name) => {
      throw new Error(`no host ${name}`)
    },
  })
  const error = await hostsFailed(runPhases([phase('p', [on('a', '1')])], {log: []}, options))
  expect(error.failures).toMatchObject([{host: 'a', error: {message: 'no host a'}}])
})

test('what a plan throws keeps its class and gets the id of its phase', async () => {
  const findings = [{host: 'a', check: 'swap', problem: 'swap is on', fix: 'swapoff -a'}]
  const {options, told} = runOptions()
  const refusing = phase('preflight', [], {plan: () => Promise.reject(new PreflightError(findings))})
  const error = await failureOf(runPhases([refusing, phase('b')], {log: []}, options))
  expect(error).toBeInstanceOf(PreflightError)
  expect(error).toMatchObject({phase: 'preflight', exitCode: 4})
  expect(told.of('phase-failed')).toMatchObject([{phase: 'preflight'}])
  const cause = new TypeError('x is undefined')
  const broken = phase('kernel', [], {plan: () => Promise.reject(cause)})
  expect(await failureOf(runPhases([broken], {log: []}, options))).toMatchObject({
    message: 'planning kernel: x is undefined',
    cause,
  })
})

test('evidence of the phase goes with the failure', async () => {
  const asked: (string | undefined)[] = []
  const diagnosed = phase('p', [on('a', '1', () => Promise.reject(commandFailed('a')))], {
    diagnose: (_context, {host, error}) => {
      asked.push(host?.name, error.message)
      return Promise.resolve('kubelet: no such file')
    },
  })
  const {options} = runOptions()
  const error = await hostsFailed(runPhases([diagnosed], {log: []}, options))
  expect(asked).toEqual(['a', 'false exited with code 1 on a'])
  expect(error.failures[0]?.evidence).toBe('kubelet: no such file')
})

test('a diagnosis that fails never hides the first error', async () => {
  const first = commandFailed('a')
  for (const diagnose of [
    () => Promise.reject(new ConnectionError('LINK_LOST', 'link lost', {host: 'a', address: 'a'})),
    () => {
      throw new Error('link lost')
    },
  ]) {
    const {options} = runOptions()
    const failing = phase('p', [on('a', '1', () => Promise.reject(first))], {diagnose})
    const error = await hostsFailed(runPhases([failing], {log: []}, options))
    expect(error.cause).toBe(first)
    expect(error.failures).toMatchObject([{error: first, evidence: 'no evidence: link lost'}])
  }
})

test('a command that fails on a host that goes down is a link that is lost, not a fault of the command', async () => {
  const lost = new ConnectionError('LINK_LOST', 'link lost', {host: 'a', address: 'a'})
  const said = (state: string, bootId: string) => () =>
    Promise.resolve({exitCode: 0, stdout: `${state}\n${bootId}\n`, stderr: ''})
  const failedOn = async (queryScript: Host['queryScript']): Promise<unknown> => {
    const machine = fakeMachine('a', {address: '10.0.0.1'})
    const host = namedHost('a', {queryScript, machine, facts: fakeFacts({bootId: 'one-1'})})
    const step = {...on('a', '1', () => Promise.reject(commandFailed('a'))), on: host}
    const {options} = runOptions()
    return await failureOf(runPhases([phase('p', [step])], {log: []}, options))
  }
  for (const [queryScript, how] of [
    [said('stopping', 'one-1'), 'is shutting down, or was restarted'],
    [said('starting', 'one-1'), 'is shutting down, or was restarted'],
    [said('running', 'two-1'), 'is shutting down, or was restarted'],
    // A container that is started anew has the same kernel.
    [said('running', 'one-2'), 'is shutting down, or was restarted'],
    [() => Promise.reject(lost), 'no longer responds'],
  ] as const)
    expect(await failedOn(queryScript)).toMatchObject({
      exitCode: 6,
      failures: [
        {
          error: {
            code: 'LINK_LOST',
            message: `a ${how}: false exited with code 1 on a`,
            address: '10.0.0.1',
            cause: {code: 'HOST_COMMAND_FAILED'},
          },
        },
      ],
    })
  for (const queryScript of [
    said('running', 'one-1'),
    said('degraded', 'one-1'),
    () => Promise.reject(new Error('no systemctl')),
  ])
    expect(await failedOn(queryScript)).toMatchObject({
      exitCode: 7,
      failures: [{error: {code: 'HOST_COMMAND_FAILED'}}],
    })
})

test('a diagnosis that hangs is given up when the run is interrupted', async () => {
  const aborting = new AbortController()
  const {options} = runOptions({signal: aborting.signal})
  const hanging = phase('p', [on('a', '1', () => Promise.reject(commandFailed('a')))], {
    diagnose: () => {
      aborting.abort()
      return new Promise<string>(() => undefined)
    },
  })
  const error = await hostsFailed(runPhases([hanging], {log: []}, options))
  expect(error.failures).toMatchObject([{host: 'a', evidence: /^no evidence/}])
})

test('an interrupted run hands the signal on, starts nothing new and awaits what runs', async () => {
  const log: string[] = []
  const aborting = new AbortController()
  const untilAborted = async (_host: unknown, {signal}: StepContext): Promise<void> => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, {once: true}))
    await new Promise((resolve) => setImmediate(resolve))
    log.push('stopped')
    signal.throwIfAborted()
  }
  const finishes = async (_host: unknown, {signal}: StepContext): Promise<void> => {
    await new Promise((resolve) => signal.addEventListener('abort', resolve, {once: true}))
    await new Promise((resolve) => setImmediate(resolve))
    log.push('finished')
  }
  const pressesCtrlC = (): Promise<void> => {
    aborting.abort()
    return Promise.reject(commandFailed('c'))
  }
  const never = (): Promise<void> => {
    log.push('started after the end')
    return Promise.resolve()
  }
  const journal = memoryJournal()
  const {options} = runOptions({signal: aborting.signal, concurrency: 3, journal})
  const steps = [
    on('a', '1', untilAborted),
    on('b', '1', finishes),
    on('b', '2', never),
    on('c', '1', pressesCtrlC),
    on('d', '1', never),
    cluster('e', never),
  ]
  const error = await failureOf(runPhases([phase('p', steps), phase('q')], {log}, options))
  expect(error).toBeInstanceOf(AbortError)
  expect(error).toMatchObject({code: 'INTERRUPTED', exitCode: 130})
  expect(log.sort()).toEqual(['finished', 'plan p', 'stopped'])
  expect(journal.flushes()).toBe(1)
})

test('the reason of the signal is thrown when it is an AbortError already', async () => {
  const reason = new AbortError('INTERRUPTED', 'stopped by SIGINT')
  const {options} = runOptions({signal: AbortSignal.abort(reason)})
  const log: string[] = []
  expect(await failureOf(runPhases([phase('a')], {log}, options))).toBe(reason)
  expect(log).toEqual([])
})

test('a plan that is interrupted is an interruption, not a failure', async () => {
  const aborting = new AbortController()
  const {options} = runOptions({signal: aborting.signal})
  const planning = phase('p', [], {
    plan: (_context, signal) => {
      aborting.abort()
      return Promise.reject(new Error(`cut off: ${signal.aborted}`))
    },
  })
  expect(await failureOf(runPhases([planning], {log: []}, options))).toMatchObject({code: 'INTERRUPTED'})
})

test('a failure from before the interruption is still told', async () => {
  const aborting = new AbortController()
  const {options} = runOptions({signal: aborting.signal})
  const failed = Promise.withResolvers<undefined>()
  const steps = [
    on('a', '1', () => {
      setImmediate(() => failed.resolve(undefined))
      return Promise.reject(commandFailed('a'))
    }),
    on('b', '1', async (_host, {signal}) => {
      await failed.promise
      aborting.abort()
      signal.throwIfAborted()
    }),
  ]
  const error = await hostsFailed(runPhases([phase('p', steps)], {log: []}, options))
  expect(error.failures.map(({host}) => host)).toEqual(['a'])
})

test('every step is in the journal before it runs and after it ended', async () => {
  const clock = fixedClock()
  const journal = memoryJournal()
  const {options} = runOptions({journal, now: clock.now})
  const seen: number[] = []
  const steps = [
    on('a', 'one', () => {
      seen.push(journal.entries.length)
      clock.advance(5)
      return Promise.resolve()
    }),
    cluster('two', () => Promise.reject(new Error('refused'))),
  ]
  await hostsFailed(runPhases([phase('p', steps)], {log: []}, options))
  const hash = (...inputs: unknown[]): string =>
    createHash('sha256').update(JSON.stringify(inputs)).digest('hex')
  const one = {
    run: 'r1',
    phase: 'p',
    step: 'one',
    host: 'a',
    inputHash: hash('p', 'one', 'one is needed', 'a'),
  }
  const two = {run: 'r1', phase: 'p', step: 'two', inputHash: hash('p', 'two', 'two is needed', null)}
  expect(seen).toEqual([1])
  expect(journal.entries).toEqual([
    {...one, time: '2026-11-21T09:00:00.000Z', event: 'start'},
    {...one, time: '2026-11-21T09:00:00.005Z', event: 'done', durationMs: 5},
    {...two, time: '2026-11-21T09:00:00.005Z', event: 'start'},
    {...two, time: '2026-11-21T09:00:00.005Z', event: 'failed', durationMs: 0, message: 'refused'},
  ])
  expect(journal.flushes()).toBe(1)
})

test('a step whose start cannot be written down does not run', async () => {
  let ran = false
  const {options} = runOptions({
    journal: {
      record: () => Promise.reject(new Error('disk full')),
      flush: () => Promise.reject(new Error('disk full')),
    },
  })
  const step = on('a', 'one', () => {
    ran = true
    return Promise.resolve()
  })
  const error = await hostsFailed(runPhases([phase('p', [step])], {log: []}, options))
  expect(error.failures).toMatchObject([{error: {message: 'disk full'}}])
  expect(ran).toBe(false)
})

test('a thousand hosts are worked on without a warning about listeners', async () => {
  const warnings: string[] = []
  const listen = (warning: Error): void => void warnings.push(warning.message)
  process.on('warning', listen)
  const aborting = new AbortController()
  const {options} = runOptions({concurrency: 100, signal: aborting.signal})
  const steps = Array.from({length: 1000}, (_, index) =>
    on(`worker-${index}`, 'one', async (_host, {signal}) => {
      signal.addEventListener('abort', () => undefined)
      await new Promise((resolve) => setImmediate(resolve))
    }),
  )
  const summary = await runPhases([phase('p', steps)], {log: []}, options)
  await new Promise((resolve) => setImmediate(resolve))
  process.off('warning', listen)
  expect(summary.steps).toHaveLength(1000)
  expect(warnings).toEqual([])
})
