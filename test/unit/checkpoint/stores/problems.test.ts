import {expect, test} from 'vitest'
import {
  networkProblem,
  askStore,
  statusProblem,
  storeError,
  withoutSecrets,
} from '../../../../src/checkpoint/stores/problems.ts'

test('a broken line is found in what an error was caused by; a mistake of ours is none', () => {
  const refused = Object.assign(new Error('connect ECONNREFUSED'), {code: 'ECONNREFUSED'})
  const failed = new TypeError('fetch failed', {cause: new AggregateError([refused])})
  expect(networkProblem(failed)).toEqual({kind: 'passing', words: 'ECONNREFUSED'})
  expect(networkProblem(new DOMException('too late', 'TimeoutError'))).toMatchObject({kind: 'passing'})
  expect(networkProblem(new TypeError('x is not a function'))).toBeUndefined()
})

test('a busy server passes, one that does not know us refuses, and other answers say nothing by themselves', () => {
  for (const status of [408, 429, 500, 503]) expect(statusProblem(status, '')?.kind).toBe('passing')
  for (const status of [401, 403]) expect(statusProblem(status, '')?.kind).toBe('refused')
  for (const status of [undefined, 404, 416]) expect(statusProblem(status, '')).toBeUndefined()
})

test('what a store says is told without the values of credentials, in an address too', () => {
  const credentials = {sasToken: 'sig=a/b+c=', username: 'me'}
  const words = withoutSecrets('GET /x?sig=a/b+c= by me, sig%3Da%2Fb%2Bc%3D', credentials)
  expect(words).toBe('GET /x?*** by me, ***')
})

test('an error of a store names the place and what to look at, and holds no request', () => {
  const error = storeError('s3://bucket', {kind: 'absent', words: 'NoSuchBucket'})
  expect(error.code).toBe('STORE_UNREACHABLE')
  expect(error.cause).toBeUndefined()
  expect(error.message).toBe('s3://bucket does not exist: NoSuchBucket')
  expect(error.suggestions.join()).toContain('kubectl')
})

/** A store that is away for so many attempts. */
function away(attempts: number) {
  const made = {attempts: 0}
  const attempt = async () => {
    made.attempts += 1
    await Promise.resolve()
    if (made.attempts <= attempts) throw Object.assign(new Error('no'), {code: 'ECONNREFUSED'})
    return 'there'
  }
  return {made, attempt}
}

const {signal} = new AbortController()
const PLACE = {location: 's3://bucket', problemOf: networkProblem, pauseMs: 0}

test('a store that is away is asked five times, or for as long as somebody has patience, who is told', async () => {
  await expect(askStore(away(4).attempt, PLACE, signal)).resolves.toBe('there')
  const long = away(12)
  await expect(askStore(long.attempt, PLACE, signal)).rejects.toMatchObject({code: 'STORE_UNREACHABLE'})
  expect(long.made.attempts).toBe(5)
  const told: string[] = []
  const patience = {patienceMs: 60_000, onWait: (words: string) => told.push(words)}
  await expect(askStore(away(12).attempt, {...PLACE, patience}, signal)).resolves.toBe('there')
  expect(told).toEqual(Array.from({length: 12}, () => 'ECONNREFUSED'))
})

test('patience ends, and none is had with a refusal or a mistake of ours', async () => {
  const patience = {patienceMs: 20, onWait: () => undefined}
  const never = away(Number.POSITIVE_INFINITY)
  await expect(askStore(never.attempt, {...PLACE, patience}, signal)).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
  })
  expect(never.made.attempts).toBeGreaterThanOrEqual(5)
  const attempts: string[] = []
  const mistaken = () => {
    attempts.push('one')
    return Promise.reject(new TypeError('x is not a function'))
  }
  await expect(askStore(mistaken, {...PLACE, patience}, signal)).rejects.toThrow(TypeError)
  expect(attempts).toEqual(['one'])
})
