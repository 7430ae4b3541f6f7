import {randomUUID} from 'node:crypto'
import {link, readdir, rename, rm, type FileHandle} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {StateError} from '../base/errors.ts'
import {createDurably, makeFolder, readIfThere, removeIfEmpty, unwritable} from '../base/files.ts'
import {systemCode} from '../base/system-errors.ts'
import {identifyProcess} from '../base/process-identity.ts'
import type {LockOwner} from './types.ts'

/*
 * A lock is a file that was linked into place, so that exactly one contender makes it. A dead lock with token T is
 * taken over by linking `lock.T.json`, which again exactly one contender can: whoever did, and is still at the end of
 * the chain lock.json -> its successor -> …, is the holder, and alone may put itself in the place of lock.json.
 * Releasing takes the same right first, with a tombstone, so a holder that overslept never removes its successor's lock.
 */

const LOCK_LIFE_MS = 5 * 60_000
const ATTEMPTS = 1000

const heldLockSchema = z.object({
  pid: z.int(),
  host: z.string(),
  command: z.string(),
  startedAt: z.iso.datetime(),
  expiresAt: z.iso.datetime(),
  token: z.uuid(),
  /** Boot id and start time of the process. */
  identity: z.string(),
  released: z.boolean(),
})
type HeldLock = LockOwner & Readonly<z.output<typeof heldLockSchema>>

export interface LockOptions {
  readonly dir: string
  /** What is locked: `cluster demo`. */
  readonly what: string
  /** Tells whoever meets the lock what runs: `kubeadm init`. */
  readonly command: string
  readonly now: () => number
  readonly pid: number
  readonly hostname: string
  readonly identify?: (pid: number) => Promise<string | undefined>
  readonly lockLifeMs?: number
}

/** Whether a file of a cluster's folder belongs to its lock. */
export function isLockFile(entry: string): boolean {
  return entry === 'lock.json' || /^lock\.[-0-9a-f]{36}\.(json|tmp)$/.test(entry)
}

/** Takes the lock, or takes it over from an owner that is dead or whose lock expired. Throws StateError LOCKED. */
export async function acquireLock(options: LockOptions): Promise<AsyncDisposable> {
  const mine = await newLock(options)
  try {
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      await makeFolder(options.dir)
      const end = await endOfChain(options.dir)
      if (end !== undefined && !(await isGone(end, options))) {
        if (!end.released) throw locked(end, options)
        continue
      }
      const file = await tryToTake(options.dir, mine, end)
      if (file !== undefined) return held(options, mine, file)
    }
  } catch (error) {
    throw error instanceof StateError ? error : unwritable(lockPath(options.dir), error)
  }
  throw new StateError('LOCKED', `${options.what} is continuously locked and released by other runs`)
}

async function newLock(options: LockOptions): Promise<HeldLock> {
  const {pid, hostname, command, identify = identifyProcess} = options
  return {
    pid,
    host: hostname,
    command,
    startedAt: new Date(options.now()).toISOString(),
    expiresAt: expiry(options),
    token: randomUUID(),
    identity: (await identify(pid)) ?? 'unknown',
    released: false,
  }
}

function expiry({now, lockLifeMs = LOCK_LIFE_MS}: LockOptions): string {
  return new Date(now() + lockLifeMs).toISOString()
}

/** Gives the open file of the lock, or undefined when another contender was faster. */
async function tryToTake(
  dir: string,
  mine: HeldLock,
  end: HeldLock | undefined,
): Promise<FileHandle | undefined> {
  const temporary = temporaryPath(dir, mine.token)
  let file: FileHandle | undefined
  let taken = false
  try {
    file = await createDurably(temporary, print(mine))
    taken = await putInPlace(dir, mine, end)
    // What stays behind does no harm, so a sweep that fails must not cost the lock.
    if (taken) await sweep(dir, mine.token).catch(() => undefined)
    return taken ? file : undefined
  } catch (error) {
    const code = systemCode(error)
    // EEXIST: another was faster. ENOENT: the holder swept our temporary file away, or the folder went with its lock.
    if (!taken && (code === 'EEXIST' || code === 'ENOENT')) return undefined
    throw error
  } finally {
    if (!taken) await file?.close()
    await rm(temporary, {force: true})
  }
}

async function putInPlace(dir: string, mine: HeldLock, end: HeldLock | undefined): Promise<boolean> {
  const temporary = temporaryPath(dir, mine.token)
  if (end === undefined) {
    await link(temporary, lockPath(dir))
    return true
  }
  const successor = successorPath(dir, end.token)
  await link(temporary, successor)
  // What was read before may be history by now: only the end of the chain as it is now holds the lock.
  if ((await endOfChain(dir))?.token !== mine.token) {
    await rm(successor, {force: true})
    return false
  }
  await rename(temporary, lockPath(dir))
  return true
}

function held(options: LockOptions, mine: HeldLock, file: FileHandle): AsyncDisposable {
  let renewal: Promise<unknown> = Promise.resolve()
  const renew = async (): Promise<void> => {
    // In place, in our own file, and of the same length: whatever took the lock over meanwhile is never written to.
    await file.write(print({...mine, expiresAt: expiry(options)}), 0)
  }
  const timer = setInterval(
    () => {
      // A renewal that fails is made up for by the next one; if none works, the lock expires, which is right.
      renewal = renew().catch(() => undefined)
    },
    (options.lockLifeMs ?? LOCK_LIFE_MS) / 3,
  ).unref()
  return {
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer)
      await renewal
      await file.close()
      await release(options, mine)
    },
  }
}

async function release(options: LockOptions, mine: HeldLock): Promise<void> {
  const {dir} = options
  const tombstone = {...mine, token: randomUUID(), expiresAt: expiry(options), released: true}
  const temporary = temporaryPath(dir, tombstone.token)
  const successor = successorPath(dir, mine.token)
  try {
    await (await createDurably(temporary, print(tombstone))).close()
    await link(temporary, successor)
    if ((await readLock(lockPath(dir)))?.token === mine.token) await rm(lockPath(dir), {force: true})
    await rm(successor, {force: true})
  } catch (error) {
    // EEXIST: it was taken over. Else: what cannot be removed is taken over when this process is gone. Neither may
    // hide the error that the run itself ends with.
    if (!(error instanceof Error)) throw error
  }
  await rm(temporary, {force: true}).catch(() => undefined)
  await removeIfEmpty(dir).catch(() => undefined)
}

/** The lock that counts: the last of the chain; undefined when there is none. */
async function endOfChain(dir: string): Promise<HeldLock | undefined> {
  let end: HeldLock | undefined
  let next = await readLock(lockPath(dir))
  while (next !== undefined) {
    end = next
    next = await readLock(successorPath(dir, end.token))
  }
  return end
}

async function readLock(path: string): Promise<HeldLock | undefined> {
  const text = await readIfThere(path)
  if (text === undefined) return undefined
  try {
    return heldLockSchema.parse(JSON.parse(text))
  } catch (error) {
    throw new StateError('LOCKED', `${path} is not a lock written by clouder, so its owner is unknown`, {
      cause: error,
      suggestions: [`make sure that no other clouder runs, then remove it: rm ${path}`],
    })
  }
}

async function isGone(lock: HeldLock, options: LockOptions): Promise<boolean> {
  if (Date.parse(lock.expiresAt) < options.now()) return true
  if (lock.host !== options.hostname) return false
  return (await (options.identify ?? identifyProcess)(lock.pid)) !== lock.identity
}

function locked({command, pid, host, startedAt, expiresAt}: HeldLock, options: LockOptions): StateError {
  return new StateError(
    'LOCKED',
    `${options.what} is in use by \`clouder ${command}\`, process ${pid} on ${host}, since ${startedAt}`,
    {
      suggestions:
        host === options.hostname
          ? [`wait until it ends, or stop it safely: kill -INT ${pid}`]
          : [`wait until it ends; if ${host} no longer exists, the lock expires at ${expiresAt}`],
    },
  )
}

/** Removes what contenders that were killed left behind; our own successor is whoever took over from us. */
async function sweep(dir: string, token: string): Promise<void> {
  for (const entry of await readdir(dir)) {
    if (!isLockFile(entry) || entry === 'lock.json' || entry.includes(token)) continue
    await rm(join(dir, entry), {force: true})
  }
}

function print(lock: HeldLock): string {
  return `${JSON.stringify(lock)}\n`
}

function lockPath(dir: string): string {
  return join(dir, 'lock.json')
}

function successorPath(dir: string, token: string): string {
  return join(dir, `lock.${token}.json`)
}

function temporaryPath(dir: string, token: string): string {
  return join(dir, `lock.${token}.tmp`)
}
