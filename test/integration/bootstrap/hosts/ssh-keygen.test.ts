import {execFile} from 'node:child_process'
import {mkdtemp, readFile, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {expect, test} from 'vitest'
import {publicKeyOf, readKey} from '../../../../src/bootstrap/hosts/ssh-keys.ts'

const run = promisify(execFile)

async function generated(words: readonly string[]): Promise<{text: string; publicText: string}> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-key-'))
  try {
    await run('ssh-keygen', ['-q', '-C', 'test', '-f', join(dir, 'key'), ...words])
    return {
      text: await readFile(join(dir, 'key'), 'utf8'),
      publicText: await readFile(join(dir, 'key.pub'), 'utf8'),
    }
  } finally {
    await rm(dir, {recursive: true})
  }
}

const wordsOf = (text: string): string => {
  const key = readKey(text, '/keys/my key')
  return key.kind === 'private' ? 'private' : `${key.problem}\n${key.fix}`
}

test.for([
  ['ed25519', ['-t', 'ed25519', '-N', '']],
  ['ECDSA', ['-t', 'ecdsa', '-N', '']],
  ['RSA in PEM', ['-t', 'rsa', '-b', '2048', '-m', 'PEM', '-N', '']],
  ['ECDSA in PKCS#8', ['-t', 'ecdsa', '-m', 'PKCS8', '-N', '']],
  ['RSA in PKCS#8', ['-t', 'rsa', '-b', '2048', '-m', 'PKCS8', '-N', '']],
] as const)('a key of %s is read', async ([, words]) => {
  expect(wordsOf((await generated(words)).text)).toBe('private')
})

test.for([
  ['OpenSSH', ['-t', 'ed25519']],
  ['PEM', ['-t', 'rsa', '-b', '2048', '-m', 'PEM']],
  ['PKCS#8', ['-t', 'ecdsa', '-m', 'PKCS8']],
] as const)('a passphrase of a key in the format of %s is seen, and the agent named', async ([, words]) => {
  const {text} = await generated([...words, '-N', 'a passphrase'])
  expect(wordsOf(text)).toContain('has a passphrase')
  expect(wordsOf(text)).toContain("ssh-add '/keys/my key'")
})

test('an encrypted key of OpenSSH shows which key of the agent it is', async () => {
  const {text, publicText} = await generated(['-t', 'ed25519', '-N', 'a passphrase'])
  expect(readKey(text, 'key')).toMatchObject({publicKey: publicKeyOf(publicText)})
})

test('a public key is told from a private one', async () => {
  const {publicText} = await generated(['-t', 'ed25519', '-N', ''])
  const key = readKey(publicText, '/keys/id.pub')
  expect(key).toMatchObject({publicKey: publicKeyOf(publicText)})
  expect(key).toMatchObject({fix: 'set the private key: keyPath: /keys/id'})
})
