import {randomBytes} from 'node:crypto'
import {readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {openStore} from '../../../../src/checkpoint/stores/open.ts'
import {digestOf, hexOf, PROBE} from '../../../../src/checkpoint/stores/content.ts'
import {provingStoreContract, sendsBlob} from '../../../support/proving-store-contract.ts'
import {flakyStoreContract} from '../../../support/flaky-store-contract.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'
import {startTokenServer} from '../../../support/token-server.ts'
import {blobStoreContract, manifestOf, putBytes} from '../../../support/blob-store-contract.ts'
import {
  needRegistry,
  REGISTRY_LOGIN,
  type Registry,
  type RegistryOptions,
} from '../../../support/with-registry.ts'

const signal = AbortSignal.timeout(290_000)
const started = new Map<string, Registry>()

afterAll(async () => {
  for (const registry of started.values()) await registry[Symbol.asyncDispose]()
})

/** A repository of its own in a registry that all tests with these options share. */
async function withRepository(context: TestContext, options: RegistryOptions = {}) {
  const key = JSON.stringify(options)
  const registry = started.get(key) ?? (await needRegistry(context, options))
  started.set(key, registry)
  const repository = `${registry.host}/team/${randomBytes(6).toString('hex')}`
  const open = (credentials?: Readonly<Record<string, string>>) => openRegistry(repository, credentials)
  return {registry, repository, open}
}

const openRegistry = (repository: string, credentials?: Readonly<Record<string, string>>) =>
  openStore(
    {registry: {repository, insecure: true}},
    {nodeDir: '/nonexistent', pauseMs: 1, ...(credentials === undefined ? {} : {credentials})},
  )

blobStoreContract('blobs in a registry', {
  largeBytes: 64 * 2 ** 20,
  manyBlobs: 1000,
  withStore: async (context, use) => {
    const {registry, open} = await withRepository(context)
    await use({
      store: await open(),
      collects: false,
      tamper: async (digest) => {
        const content = await readFile(registry.blobPath(hexOf(digest)))
        content[0] = (content[0] ?? 0) ^ 1
        await writeFile(registry.blobPath(hexOf(digest)), content)
      },
    })
  },
})

flakyStoreContract('a registry on a bad line', {
  withPlace: async (context, use) => {
    const {registry, repository} = await withRepository(context, {auth: 'basic'})
    const open = (front: string) =>
      openRegistry(repository.replace(registry.host, new URL(front).host), REGISTRY_LOGIN)
    await use({origin: `http://${registry.host}`, open, secrets: [REGISTRY_LOGIN.password]})
  },
})

const DIGEST = 'docker-content-digest'
/** One that stores what it is sent under the name that it is told would say that it has it. */
const isProbe = (path: string): boolean => decodeURIComponent(path).includes(PROBE.wrongDigest)

provingStoreContract('proofs of a registry', {
  withPlace: async (context, use) => {
    const {registry, repository} = await withRepository(context)
    const open = (front: string) => openRegistry(repository.replace(registry.host, new URL(front).host))
    await use({origin: `http://${registry.host}`, open})
  },
  refusal: {
    status: 400,
    headers: {'content-type': 'application/json'},
    body: JSON.stringify({errors: [{code: 'DIGEST_INVALID', message: 'the digest did not match'}]}),
  },
  gullible: {
    answer: ({method, path}) =>
      method === 'PUT' && isProbe(path) ? {status: 201, headers: {[DIGEST]: PROBE.wrongDigest}} : undefined,
  },
  storesElse: {
    request: (request) => {
      if (!sendsBlob(request)) return request
      const body = Buffer.from('something else')
      const path = request.path.replace(/sha256(%3A|:)[0-9a-f]{64}/, encodeURIComponent(digestOf(body)))
      return {...request, path, body}
    },
  },
  saysElse: {
    headers: ({method, path}, headers) => {
      if (method === 'HEAD' && path.includes('/blobs/')) headers.delete(DIGEST)
    },
  },
})

test('a registry takes the right password, and refuses a wrong one, and none; neither is told', async (context) => {
  const {repository, open} = await withRepository(context, {auth: 'basic'})
  for (const credentials of [{...REGISTRY_LOGIN, password: 'guessed-horse'}, undefined, {token: 'x'}]) {
    const store = await open(credentials)
    const refusal: unknown = await putBytes(store, Buffer.from('x')).catch((error: unknown) => error)
    expect(refusal).toMatchObject({
      code: 'STORE_REFUSED',
      message: expect.stringContaining(repository) as string,
    })
    expect(String(refusal)).not.toContain('guessed-horse')
  }
  const store = await open(REGISTRY_LOGIN)
  const {digest} = await putBytes(store, Buffer.from('x'))
  expect(await store.has(digest, signal)).toBe(true)
})

test('a registry that wants tokens gets them from where it says, once, for this repository', async (context) => {
  await withTempFolder(async (dir) => {
    await using tokens = await startTokenServer(REGISTRY_LOGIN)
    const jwks = join(dir, 'jwks.json')
    await writeFile(jwks, tokens.jwks)
    const {realm, service, issuer} = tokens
    await using registry = await needRegistry(context, {auth: {token: {realm, service, issuer, jwks}}})
    const repository = `${registry.host}/team/a`
    const store = await openRegistry(repository, REGISTRY_LOGIN)
    const {digest} = await putBytes(store, randomBytes(100))
    const manifest = await store.putManifest(manifestOf(digest), 'web', signal)
    await store.removeManifest(manifest, signal)
    expect(tokens.scopes).toEqual(['repository:team/a:pull,push,delete'])
    const stranger = await openRegistry(repository, {...REGISTRY_LOGIN, password: 'guessed-horse'})
    const refusal: unknown = await stranger.has(digest, signal).catch((error: unknown) => error)
    expect(refusal).toMatchObject({
      code: 'STORE_REFUSED',
      message: expect.stringContaining(repository) as string,
    })
    expect(String(refusal)).not.toContain('guessed-horse')
  })
})

test('a registry that may not delete says so', async (context) => {
  const store = await (await withRepository(context, {deletes: false})).open()
  const {digest} = await putBytes(store, Buffer.from('x'))
  const manifest = await store.putManifest(manifestOf(digest), 'web', signal)
  await expect(store.removeManifest(manifest, signal)).rejects.toMatchObject({
    code: 'STORE_REFUSED',
    message: expect.stringContaining('UNSUPPORTED') as string,
  })
})

test('what is no repository of a registry is named', async () => {
  await expect(openRegistry('just-a-host')).rejects.toMatchObject({
    code: 'STORE_UNREACHABLE',
    message: expect.stringContaining('just-a-host') as string,
  })
})
