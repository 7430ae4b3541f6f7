import {expect, test} from 'vitest'
import type {ConnectionError} from '../../../../src/base/errors.ts'
import {
  connectionErrorOf,
  destinationsOf,
  hostKeyAlgorithms,
  mayBeCut,
  mayComeUp,
  mayLetIn,
  type LoginProgress,
} from '../../../../src/bootstrap/hosts/ssh-login.ts'
import {offersOf} from '../../../../src/bootstrap/hosts/ssh-offers.ts'
import {fakeMachine} from '../../../support/fake-host.ts'

const {target} = destinationsOf(fakeMachine('cp-1'))
const begun: LoginProgress = {
  authenticating: true,
  tried: ['ssh-ed25519 SHA256:a laptop', 'ssh-ed25519 SHA256:b work'],
  offers: 3,
  methods: ['publickey'],
  partly: false,
  said: '',
}
const failure = (
  details: object,
  progress: Partial<LoginProgress> = {authenticating: false},
): ConnectionError =>
  connectionErrorOf(target, Object.assign(new Error('said'), details), {...begun, ...progress})

test('algorithms of known keys are asked for first, RSA by its newer names', () => {
  expect(hostKeyAlgorithms([])[0]).toBe('ssh-ed25519')
  expect(hostKeyAlgorithms(['ssh-rsa']).slice(0, 3)).toEqual(['rsa-sha2-512', 'rsa-sha2-256', 'ssh-ed25519'])
  expect(hostKeyAlgorithms(['ecdsa-sha2-nistp256'])[0]).toBe('ecdsa-sha2-nistp256')
})

test.for([
  ['a refused connection', {level: 'client-socket', code: 'ECONNREFUSED'}, 'HOST_UNREACHABLE', true],
  ['no route', {level: 'client-socket', code: 'EHOSTUNREACH'}, 'HOST_UNREACHABLE', true],
  ['a banner that never came', {level: 'client-timeout'}, 'HOST_UNREACHABLE', true],
  ['a name nobody knows', {level: 'client-socket', code: 'ENOTFOUND'}, 'HOST_UNREACHABLE', false],
  ['algorithms without one in common', {level: 'handshake'}, 'HOST_UNREACHABLE', false],
  ['a key that is not accepted', {level: 'client-authentication'}, 'AUTH_FAILED', false],
] as const)(
  '%s is told from the others, and waited for only where that helps',
  ([, details, code, again]) => {
    const error = failure(details)
    expect(error).toMatchObject({code, host: 'cp-1'})
    expect(mayComeUp(error)).toBe(again)
  },
)

test('in a first boot a refused key is tried again, one that nobody can use is not', () => {
  expect(mayLetIn(failure({level: 'client-authentication'}))).toBe(true)
  expect(mayLetIn(failure({level: 'agent'}))).toBe(false)
  expect(mayLetIn(failure({code: 2}, {}))).toBe(true)
  expect(mayLetIn(failure({level: 'client-socket', code: 'ECONNREFUSED'}))).toBe(false)
})

test('a key file that cannot be read is told as such, not as a key that the machine lacks', async () => {
  const failed = offersOf({...target, keyPath: '/nowhere/key'}, undefined)
  await expect(failed).rejects.toMatchObject({
    code: 'AUTH_FAILED',
    suggestions: [expect.stringContaining('ls -l /nowhere/key'), expect.stringContaining('--key FILE')],
  })
})

test('a server that ends the login is told with its words and the keys that were tried, and not asked again', () => {
  const error = failure(
    {code: 2, message: 'Too many authentication failures'},
    {said: 'Authorized use only\n'},
  )
  expect(error.code).toBe('AUTH_FAILED')
  expect(error.message).toContain(
    'ended the login after 2 of 3 keys (Too many authentication failures): ssh-ed25519 SHA256:a laptop, ssh-ed25519 SHA256:b work; message of the server: Authorized use only',
  )
  expect([mayComeUp(error), mayBeCut(error)]).toEqual([false, false])
})

test('a connection that ends without a word in the login may have been cut', () => {
  for (const details of [{code: 'ETIMEDOUT'}, {level: 'client-socket', code: 'ECONNRESET'}]) {
    const error = failure(details, {})
    expect(error.code).toBe('AUTH_FAILED')
    expect([mayComeUp(error), mayBeCut(error), mayLetIn(error)]).toEqual([false, true, true])
  }
})

test('a server that wants more than a key, or no key at all, is told as such', () => {
  const level = 'client-authentication'
  const second = failure({level}, {partly: true, methods: ['keyboard-interactive']})
  expect(second.message).toContain('a key is accepted, but the server also requires keyboard-interactive')
  const none = failure({level}, {methods: ['password']})
  expect(none.message).toContain('accepts no keys, only password')
  expect(none.suggestions[0]).toContain('PubkeyAuthentication yes')
})

test("a bastion without a key of its own takes the machine's", () => {
  const bastion = {address: '203.0.113.1', user: 'jump', port: 22, hostKeys: []}
  const machine = fakeMachine('cp-1', {ssh: {user: 'root', port: 22, keyPath: '/key', hostKeys: [], bastion}})
  expect(destinationsOf(machine).bastion).toMatchObject({
    name: 'bastion of cp-1',
    user: 'jump',
    keyPath: '/key',
  })
})
