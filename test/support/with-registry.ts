import {execFile, spawn} from 'node:child_process'
import {access, mkdir, mkdtemp, rename, rm, writeFile} from 'node:fs/promises'
import {homedir, tmpdir} from 'node:os'
import {dirname, join} from 'node:path'
import {promisify} from 'node:util'
import type {TestContext} from 'vitest'
import {ended, saidBy} from './started-server.ts'

const run = promisify(execFile)
const VERSION = '3.0.0'
/** bcrypt, cost 5. */
const PASSWORD_HASH = '$2y$05$abcdefghijklmnopqrstuuImItT08tVtqO3.AnJ1aiwIsdNRePboG'

export const REGISTRY_LOGIN = {username: 'pusher', password: 'wrong-horse-42'}

/** A registry of the CNCF's distribution project on this machine, empty at first. */
export interface Registry extends AsyncDisposable {
  /** `127.0.0.1:34567`. */
  readonly host: string
  /** Everything that it keeps is below. */
  readonly folder: string
  /** Where it keeps a blob. */
  readonly blobPath: (hex: string) => string
}

export interface RegistryOptions {
  /** The section `auth` of its configuration; default: everybody may do everything. */
  readonly auth?: object | 'basic'
  /** False: it refuses to delete, which is a registry's default. */
  readonly deletes?: boolean
  /** Address of this machine to listen at; default: its loopback. */
  readonly address?: string
}

/** Builds the registry once per machine; ends the test as skipped, with the reason, where that cannot be; as failed where every test must run. */
export async function needRegistry(context: TestContext, options: RegistryOptions = {}): Promise<Registry> {
  let program: string
  try {
    program = await buildRegistry()
  } catch (error) {
    const [reason = ''] = String(error instanceof Error ? error.message : error).split('\n')
    const text = `needs a registry, built with Go from its modules: ${reason}`
    if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw new Error(text, {cause: error})
    return context.skip(text)
  }
  return startRegistry(program, options)
}

async function startRegistry(
  program: string,
  {auth, deletes = true, address = '127.0.0.1'}: RegistryOptions,
): Promise<Registry> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-registry-'))
  const passwords = join(dir, 'htpasswd')
  await writeFile(passwords, `${REGISTRY_LOGIN.username}:${PASSWORD_HASH}\n`)
  const configuration = {
    version: '0.1',
    log: {level: 'info', accesslog: {disabled: true}},
    storage: {filesystem: {rootdirectory: join(dir, 'data')}, delete: {enabled: deletes}},
    http: {addr: `${address}:0`},
    ...(auth === undefined
      ? {}
      : {auth: auth === 'basic' ? {htpasswd: {realm: 'test', path: passwords}} : auth}),
  }
  const file = join(dir, 'config.yml')
  // JSON is YAML.
  await writeFile(file, JSON.stringify(configuration))
  const child = spawn(program, ['serve', file], {
    env: {PATH: process.env['PATH'], OTEL_TRACES_EXPORTER: 'none'},
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const host = await saidBy(child, 'the registry', /listening on ([\d.]+:\d+)/)
  return {
    host,
    folder: join(dir, 'data'),
    blobPath: (hex) => join(dir, 'data/docker/registry/v2/blobs/sha256', hex.slice(0, 2), hex, 'data'),
    [Symbol.asyncDispose]: async () => {
      await ended(child)
      await rm(dir, {recursive: true, force: true})
    },
  }
}

/** The program in the user's cache; renamed into place when it is whole. */
export async function buildRegistry(): Promise<string> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const target = join(cache, 'clouder/test', `registry-${VERSION}`)
  const program = join(target, 'registry')
  const isThere = () =>
    access(program).then(
      () => true,
      () => false,
    )
  if (await isThere()) return program
  await mkdir(dirname(target), {recursive: true})
  const work = await mkdtemp(`${target}-`)
  try {
    const module = `github.com/distribution/distribution/v3/cmd/registry@v${VERSION}`
    const env = {...process.env, GOBIN: work, GOFLAGS: '-buildvcs=false', CGO_ENABLED: '0'}
    await run('go', ['install', module], {env, timeout: 1_500_000})
    await rename(work, target).catch(async (error: unknown) => {
      // Another test was quicker.
      if (!(await isThere())) throw error
    })
  } finally {
    await rm(work, {recursive: true, force: true})
  }
  return program
}
