import {expect, test} from 'vitest'
import {parseHostKeys} from '../../../../src/infrastructure/clouds/host-keys.ts'

const keyOf = (type: string, ...parts: readonly Buffer[]): string => {
  const fields = [Buffer.from(type), ...parts].flatMap((part) => {
    const length = Buffer.alloc(4)
    length.writeUInt32BE(part.length)
    return [length, part]
  })
  return `${type} ${Buffer.concat(fields).toString('base64')}`
}
const ED25519 = keyOf('ssh-ed25519', Buffer.alloc(32, 7))
const OTHER = keyOf('ssh-ed25519', Buffer.alloc(32, 9))
const ECDSA = keyOf('ecdsa-sha2-nistp256', Buffer.from('nistp256'), Buffer.alloc(65, 4))
const RSA = keyOf('ssh-rsa', Buffer.from([1, 0, 1]), Buffer.alloc(257, 3))

const block = (...lines: readonly string[]): string =>
  ['-----BEGIN SSH HOST KEY KEYS-----', ...lines, '-----END SSH HOST KEY KEYS-----'].join('\r\n')

test('keys are read from what cloud-init prints, with or without the time and the program before each line', () => {
  const plain = `boot\n${block(`${ECDSA} root@cp-1`, `${ED25519} root@cp-1`, RSA)}\nlogin:`
  expect(parseHostKeys(plain)).toEqual([ECDSA, ED25519, RSA])
  const prefixed = block(ED25519)
    .split('\r\n')
    .map((line) => `[   12.345678] cloud-init[512]: ${line}`)
  expect(parseHostKeys(prefixed.join('\n'))).toEqual([ED25519])
})

test('nothing is read before the block is whole', () => {
  const text = block(ED25519)
  expect(parseHostKeys('')).toEqual([])
  expect(parseHostKeys(`-----END SSH HOST KEY KEYS-----\n${ED25519}`)).toEqual([])
  expect(parseHostKeys(text.slice(0, text.length - 3))).toEqual([])
})

test('of several boots the last counts', () => {
  expect(
    parseHostKeys(`${block(OTHER)}\nreboot\n${block(ED25519)}\n-----BEGIN SSH HOST KEY KEYS-----\n`),
  ).toEqual([ED25519])
})

test('a key that the kernel wrote into, or that was cut, is left out', () => {
  const torn = `${ED25519.slice(0, 40)}[   13.000000] eth0: link up`
  expect(parseHostKeys(block(torn, ED25519.slice(0, -4), ECDSA))).toEqual([ECDSA])
  // The name inside must be the name before it.
  expect(parseHostKeys(block(ED25519.replace('ssh-ed25519', 'ssh-rsa')))).toEqual([])
})

test('fingerprints, which are printed before the keys, are no keys', () => {
  const text = `-----BEGIN SSH HOST KEY FINGERPRINTS-----\n256 SHA256:AAAAabc root@cp-1 (ED25519)\n-----END SSH HOST KEY FINGERPRINTS-----`
  expect(parseHostKeys(text)).toEqual([])
})
