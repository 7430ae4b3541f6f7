import {chmod, chown, lstat, readFile, readlink, realpath, rm, stat} from 'node:fs/promises'
import {dirname} from 'node:path'
import {writeDurably} from '../base/durable-files.ts'
import {StateError, TimeoutError} from '../base/errors.ts'
import {waitFor} from '../base/waiting.ts'
import {createDurably, makeFolder, unwritable, writeAtomically} from '../base/files.ts'
import {systemCode} from '../base/system-errors.ts'

export interface UserFile {
  readonly path: string
  /** Empty: the file is not there. */
  readonly text: string
}

const LOCK_TIMEOUT_MS = 10_000
const LOCK_INTERVAL_MS = 100

/**
 * Changes files that belong to the user and that kubectl writes as well, under kubectl's own locks. What is replaced
 * is kept once, as `<path>.clouder-backup`; links are followed, mode and owner stay. Throws StateError.
 */
export async function changeUserFiles<T extends {readonly changed: readonly UserFile[]}>(
  paths: readonly string[],
  change: (files: readonly UserFile[]) => T,
  options: {readonly signal: AbortSignal; readonly timeoutMs?: number},
): Promise<T> {
  const {signal, timeoutMs = LOCK_TIMEOUT_MS} = options
  await using locks = new AsyncDisposableStack()
  // In kubectl's order, so that two programs never hold one file each.
  for (const path of paths.toSorted()) locks.use(await lockFile(path, timeoutMs, signal))
  const files = await Promise.all(paths.map(async (path) => ({path, text: await readText(path)})))
  const result = change(files)
  for (const {path, text} of result.changed) {
    const before = files.find((file) => file.path === path)?.text ?? ''
    if (before !== '') await writeAtomically(`${path}.clouder-backup`, before)
    await replace(path, text)
  }
  return result
}

async function lockFile(path: string, timeoutMs: number, signal: AbortSignal): Promise<AsyncDisposable> {
  const lock = `${path}.lock`
  await makeFolder(dirname(path))
  try {
    const made = await waitFor({
      what: `${lock} to be removed`,
      check: async () => ({value: await tryLock(lock), seen: 'it exists'}),
      timeoutMs,
      intervalMs: LOCK_INTERVAL_MS,
      signal,
    })
    return {[Symbol.asyncDispose]: async () => (made ? rm(lock, {force: true}) : undefined)}
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    throw new StateError('LOCKED', `${path} is being changed by another program: ${lock} exists`, {
      cause: error,
      suggestions: [`run the same command again; if no kubectl is changing it, remove the lock: rm ${lock}`],
    })
  }
}

/** Undefined: somebody else holds it. False: nobody can make one there, and so nobody can write the file either. */
async function tryLock(lock: string): Promise<boolean | undefined> {
  try {
    await (await createDurably(lock, '')).close()
    return true
  } catch (error) {
    const code = systemCode(error) ?? ''
    if (code === 'EEXIST') return undefined
    if (['EACCES', 'EPERM', 'EROFS'].includes(code)) return false
    throw unwritable(lock, error)
  }
}

/** Byte for byte, with its byte order mark: what is not UTF-8 would not be the same when it is written again. */
async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(await readFile(path))
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return ''
    const reason = error instanceof TypeError ? 'it is not UTF-8 text' : (code ?? String(error))
    throw new StateError('RECORD_INVALID', `${path} cannot be read: ${reason}`, {cause: error})
  }
}

async function replace(path: string, text: string): Promise<void> {
  const target = await targetOf(path)
  try {
    await writeDurably(target, text, {beforeRename: (partial) => likeBefore(partial, target)})
  } catch (error) {
    throw unwritable(target, error)
  }
}

async function targetOf(path: string): Promise<string> {
  try {
    return await realpath(path)
  } catch (error) {
    if (systemCode(error) !== 'ENOENT') throw unwritable(path, error)
    const link = await lstat(path).catch(() => undefined)
    if (link?.isSymbolicLink() !== true) return path
    throw new StateError(
      'STATE_UNWRITABLE',
      `${path} is a link to ${await readlink(path)}, which does not exist`,
      {
        cause: error,
        suggestions: [`create its target, or remove the link: ls -l ${path}`],
      },
    )
  }
}

async function likeBefore(temporary: string, target: string): Promise<void> {
  const before = await stat(target).catch(() => undefined)
  if (before === undefined) return
  const now = await stat(temporary)
  if (now.uid !== before.uid || now.gid !== before.gid) await chown(temporary, before.uid, before.gid)
  await chmod(temporary, before.mode & 0o7777)
}
