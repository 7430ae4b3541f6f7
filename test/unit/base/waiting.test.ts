import {expect, test} from 'vitest'
import {AbortError, ConnectionError, TimeoutError} from '../../../src/base/errors.ts'
import {HostCommandError} from '../../../src/bootstrap/errors.ts'
import {InfrastructureError} from '../../../src/infrastructure/errors.ts'
import {KubernetesError} from '../../../src/kubernetes/errors.ts'
import {persist, retry, waitFor, type Observation} from '../../../src/base/waiting.ts'

const {signal} = new AbortController()
const quick = {what: 'the door to open', timeoutMs: 5_000, intervalMs: 1, signal}

/** Gives one observation after the other, the last one for ever. */
function observing<T>(...observations: readonly Observation<T>[]): () => Promise<Observation<T>> {
  let index = 0
  return () => {
    const observation = observations[Math.min(index, observations.length - 1)]
    index += 1
    if (observation === undefined) throw new Error('nothing to observe')
    return Promise.resolve(observation)
  }
}

test('the value is given as soon as it is observed', async () => {
  const check = observing({seen: 'closed'}, {seen: 'ajar'}, {seen: 'open', value: 'the room'})
  expect(await waitFor({...quick, check})).toBe('the room')
})

test('a value that is false or empty counts as one', async () => {
  expect(await waitFor({...quick, check: observing({seen: 'x', value: false})})).toBe(false)
  expect(await waitFor({...quick, check: observing({seen: 'x', value: ''})})).toBe('')
})

test('what is seen is told when it changes', async () => {
  const seen: string[] = []
  const check = observing({seen: 'a'}, {seen: 'a'}, {seen: 'b'}, {seen: 'b'}, {seen: 'c', value: 1})
  await waitFor({...quick, check, onSeen: (text) => seen.push(text)})
  expect(seen).toEqual(['a', 'b'])
})

test('a wait in vain tells how long, for what, and what was seen last', async () => {
  const waiting = waitFor({...quick, timeoutMs: 20, check: observing({seen: 'closed'})})
  await expect(waiting).rejects.toBeInstanceOf(TimeoutError)
  await expect(waiting).rejects.toMatchObject({
    code: 'TIMED_OUT',
    lastSeen: 'closed',
    message: 'waited 0 s for the door to open, last state: closed',
  })
})

test('a check that hangs is cut off when the time is up', async () => {
  const hanging = async (cut: AbortSignal): Promise<Observation<never>> => {
    await new Promise((_, reject) => {
      cut.addEventListener('abort', () => reject(new Error('cut off')))
    })
    return {seen: 'never'}
  }
  await expect(waitFor({...quick, timeoutMs: 20, check: hanging})).rejects.toBeInstanceOf(TimeoutError)
})

test('what a check throws ends the wait', async () => {
  const broken = new Error('no such door')
  await expect(waitFor({...quick, check: () => Promise.reject(broken)})).rejects.toBe(broken)
})

test('an abort ends a wait with the reason of the signal: before, in the check, in the pause', async () => {
  const reason = new AbortError('INTERRUPTED', 'stopped')
  const before = {...quick, signal: AbortSignal.abort(reason), check: observing({seen: 'x', value: 1})}
  await expect(waitFor(before)).rejects.toBe(reason)

  const during = new AbortController()
  const check = (): Promise<Observation<number>> => {
    during.abort(reason)
    return Promise.reject(new Error('the link was cut'))
  }
  await expect(waitFor({...quick, signal: during.signal, check})).rejects.toBe(reason)

  const between = new AbortController()
  const waiting = waitFor({
    ...quick,
    intervalMs: 60_000,
    timeoutMs: 600_000,
    signal: between.signal,
    check: () => {
      setImmediate(() => between.abort(reason))
      return Promise.resolve({seen: 'closed'})
    },
  })
  await expect(waiting).rejects.toBe(reason)
})

test('retry tries again on errors that may pass, and on no others', async () => {
  const refused = new Error('refused')
  let attempts = 0
  const attempt = (): Promise<string> => {
    attempts += 1
    return attempts < 3 ? Promise.reject(refused) : Promise.resolve('connected')
  }
  expect(await retry(attempt, {...quick, again: (error) => error === refused})).toBe('connected')
  expect(attempts).toBe(3)

  const wrongKey = new Error('wrong key')
  let tries = 0
  const failing = retry(
    () => {
      tries += 1
      return Promise.reject(wrongKey)
    },
    {...quick, again: (error) => error === refused},
  )
  await expect(failing).rejects.toBe(wrongKey)
  expect(tries).toBe(1)
})

test('retry throws the last error when the time is up', async () => {
  let attempts = 0
  const failing = retry(
    () => {
      attempts += 1
      return Promise.reject(new Error(`refused ${attempts}`))
    },
    {...quick, timeoutMs: 20, again: () => true},
  )
  await expect(failing).rejects.toThrow(/^refused \d+$/)
  expect(attempts).toBeGreaterThan(1)
})

test('retry ends with the reason of the signal', async () => {
  const reason = new AbortError('INTERRUPTED', 'stopped')
  const aborting = new AbortController()
  const failing = retry(
    () => {
      aborting.abort(reason)
      return Promise.reject(new Error('refused'))
    },
    {...quick, signal: aborting.signal, again: () => true},
  )
  await expect(failing).rejects.toBe(reason)
})

/** Fails with 1, 2, …; `progressAt`: the attempts that get further first. */
function failing(progressAt: readonly number[] = []) {
  const made = {attempts: 0}
  const attempt = (_signal: AbortSignal, progressed: () => void): Promise<never> => {
    made.attempts += 1
    if (progressAt.includes(made.attempts)) progressed()
    return Promise.reject(new Error(String(made.attempts)))
  }
  return {made, attempt}
}

test('persist gives up after so many failures in a row; progress begins to count again', async () => {
  const options = {attempts: 3, intervalMs: 1, signal, problemOf: (error: unknown) => String(error)}
  await expect(persist(failing().attempt, options)).rejects.toThrow(/^3$/)
  await expect(persist(failing([3, 4]).attempt, options)).rejects.toThrow(/^6$/)
})

test('persist goes on for as long as the patience lasts, but not with what does not pass', async () => {
  const waited: string[] = []
  const patience = {patienceMs: 40, onWait: (problem: string) => waited.push(problem)}
  const options = {attempts: 2, intervalMs: 1, signal, ...patience}
  const {made, attempt} = failing()
  await expect(persist(attempt, {...options, problemOf: () => 'away'})).rejects.toThrow(/^\d+$/)
  expect(made.attempts).toBeGreaterThan(2)
  expect(waited).toEqual(Array.from({length: made.attempts - 1}, () => 'away'))
  await expect(persist(failing().attempt, {...options, problemOf: () => undefined})).rejects.toThrow(/^1$/)
})

test('polls that an API server cannot answer for the moment do not end a wait, a refusal does', async () => {
  const seen: string[] = []
  const busy = new KubernetesError('API_UNAVAILABLE', 'busy')
  const answers = [{seen: 'closed'}, busy, busy, {seen: 'open', value: 1}]
  const check = (): Promise<Observation<number>> => {
    const answer = answers.shift() ?? new KubernetesError('API_REJECTED', 'forbidden')
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }
  expect(await waitFor({...quick, check, onSeen: (text) => seen.push(text)})).toBe(1)
  expect(seen).toEqual(['closed', 'busy'])
  await expect(waitFor({...quick, check})).rejects.toMatchObject({code: 'API_REJECTED'})
})

const at = {host: 'cp-1', address: '192.0.2.1'}
const command = {host: 'cp-1', command: 'true', exitCode: 1, signal: undefined, stdout: '', stderr: ''}

test.for([
  new ConnectionError('LINK_LOST', 'the connection was lost', at),
  new ConnectionError('HOST_UNREACHABLE', 'nobody answers', at),
  new HostCommandError('HOST_COMMAND_TIMED_OUT', 'stopped after 30 s', command),
  new InfrastructureError('CLOUD_UNREACHABLE', 'the cloud does not answer'),
  new InfrastructureError('ENGINE_FAILED', 'the engine does not answer'),
])('one poll that ends as $code does not end a wait', async (away) => {
  const answers = [away, {seen: 'open', value: 1}]
  const check = (): Promise<Observation<number>> => {
    const answer = answers.shift() ?? away
    return answer instanceof Error ? Promise.reject(answer) : Promise.resolve(answer)
  }
  expect(await waitFor({...quick, check})).toBe(1)
})

test.for([
  new ConnectionError('AUTH_FAILED', 'the key is not accepted', at),
  new ConnectionError('SUDO_REFUSED', 'sudo is refused', at),
  new HostCommandError('HOST_COMMAND_FAILED', 'exited with code 1', command),
  new InfrastructureError('CLOUD_REFUSED', 'a permission is missing'),
])('a poll that ends as $code ends the wait with it', async (refusal) => {
  const check = (): Promise<Observation<number>> => Promise.reject(refusal)
  await expect(waitFor({...quick, check})).rejects.toBe(refusal)
})

test('an outage is told once, however its polls fail, and its end once', async () => {
  const told: string[] = []
  const fails = ['connection refused', 'socket hang up', '503'].map(
    (text) => new KubernetesError('API_UNREACHABLE', text),
  )
  const outcomes = [{seen: 'a'}, ...fails, {seen: 'a'}, ...fails, {seen: 'b'}, {seen: 'b', value: 1}]
  const check = (): Promise<Observation<number>> => {
    const outcome = outcomes.shift()
    if (outcome === undefined) throw new Error('polled too often')
    return outcome instanceof Error ? Promise.reject(outcome) : Promise.resolve(outcome)
  }
  const onAway = (problem: string) => void told.push(`away: ${problem}`)
  await waitFor({
    ...quick,
    check,
    onSeen: (text) => told.push(text),
    onAway,
    onBack: () => told.push('back'),
  })
  const outage = ['away: connection refused', 'back']
  expect(told).toEqual(['a', ...outage, ...outage, 'b'])
})

test('who has no word for an outage is told of it as of a state, once', async () => {
  const told: string[] = []
  const outcomes = ['refused', 'reset'].map((text) => new KubernetesError('API_UNREACHABLE', text))
  const check = (): Promise<Observation<number>> => {
    const error = outcomes.shift()
    return error === undefined ? Promise.resolve({seen: 'there', value: 1}) : Promise.reject(error)
  }
  await waitFor({...quick, check, onSeen: (text) => told.push(text)})
  expect(told).toEqual(['refused'])
})

test('an outage that is longer than a wait allows ends it', async () => {
  const away = new KubernetesError('API_UNREACHABLE', 'connection refused')
  const check = (): Promise<Observation<number>> => Promise.reject(away)
  await expect(waitFor({...quick, outageMs: 20, check})).rejects.toBe(away)
})

test('a wait whose last polls failed tells what they failed with, and no wait that saw something since', async () => {
  const away = new KubernetesError('API_UNREACHABLE', 'connection refused', {
    suggestions: ['look at the VPN'],
  })
  const failing = {...quick, timeoutMs: 20, check: () => Promise.reject(away)}
  await expect(waitFor(failing)).rejects.toMatchObject({
    code: 'TIMED_OUT',
    cause: away,
    suggestions: ['look at the VPN'],
    lastSeen: 'connection refused',
  })
  let polls = 0
  const check = (): Promise<Observation<never>> =>
    (polls += 1) === 1 ? Promise.reject(away) : Promise.resolve({seen: 'closed'})
  const inVain = await waitFor({...quick, timeoutMs: 20, check}).catch((error: unknown) => error)
  expect(inVain).toMatchObject({code: 'TIMED_OUT', lastSeen: 'closed', suggestions: []})
  expect(inVain).not.toHaveProperty('cause')
})
