import {createHmac} from 'node:crypto'
import {mkdtemp, readFile, rm, stat, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {ConnectionError} from '../../../../src/base/errors.ts'
import {
  createKnownHosts,
  fingerprintOf,
  type HostKeyTarget,
} from '../../../../src/bootstrap/hosts/known-hosts.ts'

function keyOf(type: string, seed: string): Buffer {
  const parts = [Buffer.from(type), Buffer.from(seed.padEnd(32, '.'))]
  return Buffer.concat(
    parts.flatMap((part) => {
      const length = Buffer.alloc(4)
      length.writeUInt32BE(part.length)
      return [length, part]
    }),
  )
}

const key = keyOf('ssh-ed25519', 'one')
const otherKey = keyOf('ssh-ed25519', 'two')
const target: HostKeyTarget = {name: 'cp-1', address: '192.0.2.7', port: 22, hostKeys: []}
const lineOf = (host: string, value = key): string => `${host} ssh-ed25519 ${value.toString('base64')}\n`

async function files(cluster?: string, user?: string) {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-known-'))
  const clusterFile = join(dir, 'cluster', 'known_hosts')
  const userFile = join(dir, 'user')
  if (user !== undefined) await writeFile(userFile, user)
  const known = createKnownHosts({clusterFile, userFile, policy: 'first-use'})
  if (cluster !== undefined) {
    await known.verify({...target, address: '203.0.113.1'}, otherKey)
    await writeFile(clusterFile, cluster)
  }
  return {
    clusterFile,
    userFile,
    known,
    strict: createKnownHosts({clusterFile, userFile, policy: 'strict'}),
    [Symbol.asyncDispose]: () => rm(dir, {recursive: true, force: true}),
  }
}

test('an unknown key is pinned once, readable by its owner only, and told', async () => {
  await using at = await files()
  const told: string[] = []
  const known = createKnownHosts({
    clusterFile: at.clusterFile,
    policy: 'first-use',
    onFirstUse: (host, fingerprint) => told.push(`${host.name} ${fingerprint}`),
  })
  await Promise.all([known.verify(target, key), known.verify(target, key), known.verify(target, key)])
  expect(await readFile(at.clusterFile, 'utf8')).toBe(lineOf('192.0.2.7'))
  expect((await stat(at.clusterFile)).mode & 0o777).toBe(0o600)
  expect(told).toEqual([`cp-1 ${fingerprintOf(key)}`])
})

test('a pin is added on a line of its own after a file without a last newline', async () => {
  await using at = await files(lineOf('203.0.113.9').trimEnd())
  await at.known.verify(target, key)
  expect(await readFile(at.clusterFile, 'utf8')).toBe(lineOf('203.0.113.9') + lineOf('192.0.2.7'))
})

test('another port has another key', async () => {
  await using at = await files(lineOf('192.0.2.7'))
  await at.known.verify({...target, port: 2222}, otherKey)
  expect(await readFile(at.clusterFile, 'utf8')).toContain(lineOf('[192.0.2.7]:2222', otherKey))
})

test('an unknown key is refused under the strict policy with the line to add', async () => {
  await using at = await files()
  await expect(at.strict.verify(target, key)).rejects.toMatchObject({
    code: 'HOST_KEY_UNKNOWN',
    suggestions: [expect.stringContaining(lineOf('192.0.2.7').trim())],
  })
})

test('another key than the pinned one names both fingerprints and the line to remove', async () => {
  await using at = await files(`# comment\n${lineOf('192.0.2.7')}`)
  const error: unknown = await at.known.verify(target, otherKey).catch((failure: unknown) => failure)
  if (!(error instanceof ConnectionError)) throw new Error('the key was accepted')
  expect(error.code).toBe('HOST_KEY_CHANGED')
  expect(error.message).toContain(fingerprintOf(otherKey))
  expect(error.message).toContain(fingerprintOf(key))
  expect(error.suggestions.join('\n')).toContain(`sed -i '2d' '${at.clusterFile}'`)
})

test.for([
  ['plain', lineOf('192.0.2.7')],
  ['in a list', lineOf('node,192.0.2.7')],
  ['by a pattern', lineOf('192.0.2.*')],
  ['hashed', lineOf(hashed('192.0.2.7'))],
] as const)("a key of the user's file counts, %s", async ([, line]) => {
  await using at = await files(undefined, line)
  await at.strict.verify(target, key)
  expect(await at.strict.keyTypes(target)).toEqual(['ssh-ed25519'])
})

test('a negated pattern and other hosts do not count', async () => {
  await using at = await files(
    undefined,
    lineOf('192.0.2.*,!192.0.2.7') + lineOf('192.0.2.70') + '@cert-authority * x y\n',
  )
  expect(await at.strict.keyTypes(target)).toEqual([])
})

test('a revoked key is refused', async () => {
  await using at = await files(`@revoked ${lineOf('*')}${lineOf('192.0.2.7')}`)
  await expect(at.known.verify(target, key)).rejects.toMatchObject({code: 'HOST_KEY_CHANGED'})
})

test("keys of the machine win over the cluster's file, and that over the user's", async () => {
  await using at = await files(lineOf('192.0.2.7'), lineOf('192.0.2.7', otherKey))
  await at.known.verify(target, key)
  const hostKeys = [`ssh-ed25519 ${otherKey.toString('base64')} a comment`]
  await at.known.verify({...target, hostKeys}, otherKey)
  await expect(at.known.verify({...target, hostKeys}, key)).rejects.toMatchObject({code: 'HOST_KEY_CHANGED'})
})

function hashed(host: string): string {
  const salt = Buffer.alloc(20, 7)
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(host).digest('base64')}`
}
