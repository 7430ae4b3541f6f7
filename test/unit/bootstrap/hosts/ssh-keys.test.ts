import {generateKeyPairSync} from 'node:crypto'
import {expect, test} from 'vitest'
import {readKey} from '../../../../src/bootstrap/hosts/ssh-keys.ts'

const wordsOf = (text: string): string => {
  const key = readKey(text, '/keys/my key')
  return key.kind === 'private' ? 'private' : `${key.problem}\n${key.fix}`
}

test('a security key, a certificate and a key of PuTTY are named', () => {
  const blobOf = (type: string): string => {
    const bytes = Buffer.alloc(4 + type.length + 8)
    bytes.writeUInt32BE(type.length)
    bytes.write(type, 4)
    return `${type} ${bytes.toString('base64')} me`
  }
  expect(wordsOf(blobOf('sk-ssh-ed25519@openssh.com'))).toContain('a security key (FIDO)')
  expect(wordsOf(blobOf('ssh-ed25519-cert-v01@openssh.com'))).toContain('is a certificate')
  const putty = 'PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\nComment: me\n'
  expect(wordsOf(putty)).toContain("puttygen '/keys/my key' -O private-openssh")
})

test('an ed25519 key in PKCS#8, and what is no key at all, come with a command', () => {
  const {privateKey} = generateKeyPairSync('ed25519')
  const text = privateKey.export({type: 'pkcs8', format: 'pem'}).toString()
  expect(wordsOf(text)).toContain("ssh-keygen -p -N '' -f '/keys/my key'")
  expect(wordsOf('')).toContain('is not an SSH private key')
  expect(wordsOf('-----BEGIN OPENSSH PRIVATE KEY-----\nYWJj\n-----END OPENSSH PRIVATE KEY-----\n')).toContain(
    'is not an SSH private key',
  )
})
