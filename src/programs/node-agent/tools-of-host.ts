import {execFile, spawn, type ChildProcess} from 'node:child_process'
import {lstat, open, readdir, stat} from 'node:fs/promises'
import type {Socket} from 'node:net'
import {join} from 'node:path'
import {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {promisify} from 'node:util'
import {z} from 'zod'
import {unlessMissing} from '../../base/system-errors.ts'
import {fullImageName} from '../../checkpoint/image-name.ts'
import {errorMessage} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {UnsuitedDumpError, type PackChanges} from './direct-dump.ts'
import type {ImageDigests} from './restore-decision.ts'
import type {ImageImport} from './tools.ts'
import type {PodVolumesOptions} from './volumes.ts'

const execute = promisify(execFile)
const TIMEOUT_MS = 20_000

/** Programs that the node installed, from its store `<sha256>-<name>`. */
export interface HostTools {
  /** Standard output. Throws when the program is not there or fails. */
  run(name: string, words: readonly string[], signal: AbortSignal): Promise<string>
  /** Runs it with a stream as standard input. Throws with what it said when it fails. */
  feed(
    name: string,
    words: readonly string[],
    input: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<void>
  /** Runs it with a new file, for root alone, as standard output. Throws with what it said when it fails. */
  writeFile(name: string, words: readonly string[], path: string, signal: AbortSignal): Promise<void>
  /** Starts it with pipes, and with sockets as its file descriptors from 3 on. Killed when the signal is aborted. */
  start(
    name: string,
    words: readonly string[],
    options: {readonly sockets?: readonly Socket[]; readonly signal: AbortSignal},
  ): Promise<ChildProcess>
  /** Whether it is installed. */
  has(name: string): Promise<boolean>
}

/** Programs below /opt/clouder of the node: static ones, and the portable CRIU with its own libraries. */
export function storeTools(root: string): HostTools {
  return {
    async run(name, words, signal) {
      const [program, ...before] = name === 'criu' ? await portableCriu(root) : [await programOf(root, name)]
      const {stdout} = await execute(program, [...before, ...words], {
        signal,
        timeout: TIMEOUT_MS,
        maxBuffer: 16 * 1024 * 1024,
      })
      return stdout
    },
    async feed(name, words, input, signal) {
      const child = spawn(await programOf(root, name), words, {stdio: ['pipe', 'ignore', 'pipe'], signal})
      const ended = endOf(child, [name, ...words])
      // One that ends early breaks the pipe; what it said then is the reason.
      const fed = pipeline(Readable.from(input), child.stdin, {signal}).catch((error: unknown) =>
        error instanceof Error ? error : new Error('reading the input failed', {cause: error}),
      )
      const failure = await ended
      const broken = await fed
      signal.throwIfAborted()
      if (failure !== undefined) throw failure
      if (broken !== undefined) throw broken
    },
    async writeFile(name, words, path, signal) {
      const program = await programOf(root, name)
      await using file = await open(path, 'wx', 0o600)
      const child = spawn(program, words, {stdio: ['ignore', file.fd, 'pipe'], signal})
      const failure = await endOf(child, [name, ...words])
      signal.throwIfAborted()
      if (failure !== undefined) throw failure
    },
    async start(name, words, {sockets = [], signal}) {
      const program = await programOf(root, name)
      return spawn(program, words, {
        stdio: ['pipe', 'pipe', 'pipe', ...sockets],
        signal,
        killSignal: 'SIGKILL',
      })
    },
    async has(name) {
      const program = await programOf(root, name).catch(() => undefined)
      // A link may lead nowhere.
      return program !== undefined && (await stat(program).catch(unlessMissing)) !== undefined
    },
  }
}

/** Waits until a program has ended and nothing of it writes any more; the error says why it failed, undefined: it did not. */
async function endOf(child: ChildProcess, command: readonly string[]): Promise<Error | undefined> {
  let said = ''
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (said = (said + text).slice(-2000)))
  // Of a start that fails, or of a signal that is aborted; `close` comes all the same.
  child.on('error', (error) => (said = `${said}${error.message}`))
  const [code] = z
    .tuple([z.int().nullable()])
    .rest(z.unknown())
    .parse(await new Promise<unknown>((resolve) => child.once('close', (...ended) => resolve(ended))))
  if (code === 0) return undefined
  return new ProgramError(command, code, said.trim())
}

class ProgramError extends Error {
  readonly exitCode: number | null

  constructor(command: readonly string[], exitCode: number | null, said: string) {
    const end = exitCode === null ? 'was killed by a signal' : `exited with code ${exitCode}`
    super(`${command.join(' ')} ${end}: ${said}`)
    this.exitCode = exitCode
  }
}

/** Its script needs a shell, which the image of this program has not: what the script runs. */
async function portableCriu(root: string): Promise<[string, ...string[]]> {
  const dir = join(root, 'criu')
  const lib = join(dir, 'lib')
  const loader = (await readdir(lib)).find((entry) => entry.startsWith('ld-linux'))
  if (loader === undefined) throw new Error(`no dynamic loader found in ${lib}`)
  return [join(lib, loader), '--argv0', 'criu', '--library-path', lib, join(dir, 'libexec/criu')]
}

async function programOf(root: string, name: string): Promise<string> {
  // The store keeps what an upgrade replaced; a program that must be the newest has a link.
  const linked = join(root, name)
  if ((await lstat(linked).catch(unlessMissing))?.isSymbolicLink() === true) return linked
  const [first] = await programsOf(root, name)
  if (first === undefined) throw new Error(`${name} not found in ${join(root, 'store')}`)
  return first
}

async function programsOf(root: string, name: string): Promise<readonly string[]> {
  const store = join(root, 'store')
  return (await readdir(store))
    .filter((entry) => /^[0-9a-f]{64}-/.test(entry) && entry.slice(65) === name)
    .map((entry) => join(store, entry))
}

/** Packs and unpacks files of containers. */
export const FILES_PROGRAM = 'clouder-files'

/** Exit code of that program for an overlay of which it cannot tell what was changed. */
const UNSUITED = 3

/** What a container changed of its files, by the program that the node has for it. */
export const packChanges =
  (tools: HostTools): PackChanges =>
  async ({rootfs, upper}, path, signal) => {
    const words = ['pack-changes', '--rootfs', rootfs, '--upper', upper]
    await tools.writeFile(FILES_PROGRAM, words, path, signal).catch((error: unknown) => {
      signal.throwIfAborted()
      const message = `packing the changed files failed: ${errorMessage(error)}`
      if (error instanceof ProgramError && error.exitCode === UNSUITED)
        throw new UnsuitedDumpError(message, error)
      throw new CheckpointError('CHECKPOINT_FAILED', message, {cause: error})
    })
  }

/** Exit code of that program for a folder that has more than it may pack. */
const TOO_LARGE = 4

/** The contents of a volume, by the same program. */
export const packFolder =
  (tools: HostTools): PodVolumesOptions['pack'] =>
  async ({name, path: folder}, path, maxBytes, signal) => {
    const words = ['pack-folder', '--dir', folder, '--max-bytes', String(maxBytes)]
    await tools.writeFile(FILES_PROGRAM, words, path, signal).catch((error: unknown) => {
      signal.throwIfAborted()
      const isTooLarge = error instanceof ProgramError && error.exitCode === TOO_LARGE
      throw new CheckpointError(
        isTooLarge ? 'TOO_LARGE' : 'CHECKPOINT_FAILED',
        `packing volume ${name} failed: ${errorMessage(error)}`,
        {cause: error},
      )
    })
  }

const CONTAINERD = ['--address', '/run/containerd/containerd.sock', '--namespace', 'k8s.io']

/** Digests of the manifest and of the config of an image, as containerd names both; empty: it is not known here. */
export function containerdImages(tools: HostTools, signal: AbortSignal): ImageDigests {
  return async (image) => {
    const known = await knownImages(tools, signal)
    const target = known.find(({name}) => name === image || name === fullImageName(image))?.digest
    if (target === undefined) return []
    const names = known.filter(({digest}) => digest === target).map(({name}) => name)
    return [target, ...names.filter((name) => name.startsWith('sha256:'))]
  }
}

async function knownImages(
  tools: HostTools,
  signal: AbortSignal,
): Promise<readonly {readonly name: string; readonly digest: string}[]> {
  const lines = (await tools.run('ctr', [...CONTAINERD, 'images', 'list'], signal)).split('\n').slice(1)
  return lines
    .map((line) => line.split(/\s+/))
    .map(([name = '', , digest = '']) => ({name, digest}))
    .filter(({name}) => name !== '')
}

/** Names of all images of the node. */
export function containerdNames(tools: HostTools): (signal: AbortSignal) => Promise<readonly string[]> {
  return async (signal) => (await knownImages(tools, signal)).map(({name}) => name)
}

/**
 * Imports an image and names it by digest alone, as pods name it. It is unpacked: containerd mounts what it restores
 * from.
 */
export function containerdImport(tools: HostTools): ImageImport {
  return async ({repository, digest}, layout, signal) => {
    const [tag, named] = [`${repository}:latest`, `${repository}@${digest}`]
    await tools.feed('ctr', [...CONTAINERD, 'images', 'import', '-'], layout, signal)
    await tools.run('ctr', [...CONTAINERD, 'images', 'tag', '--force', tag, named], signal)
    await tools.run('ctr', [...CONTAINERD, 'images', 'remove', tag], signal)
  }
}

/** Removes an image under all its names, and with the last one what is in it. */
export function containerdRemoval(
  tools: HostTools,
): (reference: string, signal: AbortSignal) => Promise<void> {
  return async (reference, signal) => {
    const known = await knownImages(tools, signal)
    const target = known.find(({name}) => name === reference)?.digest
    const names = known.filter(({digest}) => digest === target).map(({name}) => name)
    if (names.length > 0)
      await tools.run('ctr', [...CONTAINERD, 'images', 'remove', '--sync', ...names], signal)
  }
}
