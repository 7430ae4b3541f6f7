import {expect, test} from 'vitest'
import {
  connectionErrorOf,
  credentialsOf,
  destinationsOf,
  hostKeyAlgorithms,
  mayComeUp,
  mayLetIn,
} from '../../../src/hosts/ssh-login.ts'
import {fakeMachine} from '../../support/fake-host.ts'

const {target} = destinationsOf(fakeMachine('cp-1'))
const failure = (details: object): unknown =>
  connectionErrorOf(target, Object.assign(new Error('said'), details))

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
  expect(mayLetIn(connectionErrorOf(target, new Error('Cannot parse privateKey')))).toBe(false)
  expect(mayLetIn(failure({level: 'client-socket', code: 'ECONNREFUSED'}))).toBe(false)
})

test('a key file that cannot be read is told as such, not as a key that the machine lacks', async () => {
  const failed = credentialsOf({...target, keyPath: '/nowhere/key'}, undefined)
  await expect(failed).rejects.toMatchObject({
    code: 'AUTH_FAILED',
    suggestions: [expect.stringContaining('ls -l /nowhere/key'), expect.stringContaining('--key FILE')],
  })
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
