import {lstat, readdir, readFile, statfs} from 'node:fs/promises'
import {join} from 'node:path'
import {MOST_HOLE_BYTES} from '../../checkpoint/archive/obstacles.ts'
import {SLACK_BYTES} from '../../checkpoint/ephemeral-storage.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'

const MIB = 1024 * 1024
/** Left free on the disk of a node, which evicts pods when it is full. */
const SPARE_BYTES = 256 * MIB
const BLOCK_BYTES = 512

/** What a dump of a container will take: files that it changed, and memory. */
export interface DumpSize {
  readonly fileBytes: number
  /** Of these, what is no data. */
  readonly holeBytes: number
  /** The file with the most holes, as the container names it. */
  readonly sparsest: string
  readonly memoryBytes: number
  readonly freeBytes: number
  /** Directory of its overlay with what it changed; absent: its root is not an overlay, or cannot be read. */
  readonly upper?: string
  /** Why files were left out of the count; absent: all were counted. */
  readonly unmeasured?: string
}

export type DumpMeter = (container: {readonly pid: number; readonly cgroup: string}) => Promise<DumpSize>

/**
 * Refuses, while the pod runs on, what would be written for minutes: holes are written out, zero by zero, while the pod
 * stands still. Throws CheckpointError TOO_LARGE.
 */
export function refuseHoles(container: string, {holeBytes, sparsest}: DumpSize): void {
  if (holeBytes <= MOST_HOLE_BYTES) return
  throw new CheckpointError(
    'TOO_LARGE',
    `the sparse files of container ${container} have ${mib(holeBytes)} of holes, most of them in ${sparsest}; at most ${mib(MOST_HOLE_BYTES)} can be checkpointed: keep sparse files on a volume`,
  )
}

/** Refuses, while the pod runs on, what would fill the disk of the node. Throws CheckpointError TOO_LARGE. */
export function refuseLarge(what: string, dumpBytes: number, freeBytes: number): void {
  const wantedBytes = dumpBytes + SPARE_BYTES
  if (wantedBytes <= freeBytes) return
  throw new CheckpointError(
    'TOO_LARGE',
    `a checkpoint of ${what} needs ${mib(wantedBytes)} of disk space while it is created, but the node has ${mib(freeBytes)} free`,
  )
}

/**
 * Refuses to end a pod that has more files than it may keep, which no node would take back. Throws CheckpointError
 * RESTORE_IMPOSSIBLE.
 */
export function refuseOverLimit(
  container: string,
  {fileBytes, holeBytes}: DumpSize,
  limitBytes: number | undefined,
): void {
  const bytes = fileBytes - holeBytes
  if (limitBytes === undefined || bytes <= limitBytes + SLACK_BYTES) return
  throw new CheckpointError(
    'RESTORE_IMPOSSIBLE',
    `container ${container} has ${mib(bytes)} of changed files, but its ephemeral-storage limit is ${mib(limitBytes)}; raise the limit, or keep the files on a volume`,
  )
}

/** For people, rounded up. */
export const mib = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`

/** Measures containers whose root is an overlay; of another one the files are not known, which is told. */
export function dumpMeter({
  proc,
  folder,
}: {
  readonly proc: string
  /** Where dumps are written. */
  readonly folder: string
}): DumpMeter {
  return async ({pid, cgroup}) => {
    const files: Files = {fileBytes: 0, holeBytes: 0, sparsest: '', mostBytes: 0, unreadable: []}
    const mountinfo = await unlessGone(
      () => readFile(join(proc, String(pid), 'mountinfo'), 'utf8'),
      '',
      files,
    )
    const upper = upperOf(mountinfo)
    const isReadable = upper !== undefined && (await isFolder(upper))
    if (upper === undefined)
      files.unreadable.push('its root file system is not an overlay with an upper directory')
    else if (!isReadable) files.unreadable.push(`its upper directory ${upper} cannot be read`)
    else await addFiles(upper, '/', files)
    const {bavail, bsize} = await statfs(folder)
    const {fileBytes, holeBytes, sparsest, unreadable} = files
    const memoryBytes = await memoryOf(cgroup, proc, files)
    return {
      ...{fileBytes, holeBytes, sparsest, memoryBytes, freeBytes: bavail * bsize},
      ...(isReadable ? {upper} : {}),
      ...unmeasuredOf(unreadable),
    }
  }
}

/** https://docs.kernel.org/filesystems/proc.html: the fifth field is where it is mounted, the options come last. */
function upperOf(mountinfo: string): string | undefined {
  const root = mountinfo.split('\n').find((line) => line.split(' ')[4] === '/')
  const [, upper] = /^.* - overlay \S+ (?:\S*,)?upperdir=([^,\s]+)/.exec(root ?? '') ?? []
  return upper
}

/** Files in a folder, with those below it. */
export type FileSize = Pick<DumpSize, 'fileBytes' | 'holeBytes' | 'sparsest' | 'unmeasured'>

/** Measures all files in a folder. */
export async function measureFiles(folder: string): Promise<FileSize> {
  const files: Files = {fileBytes: 0, holeBytes: 0, sparsest: '', mostBytes: 0, unreadable: []}
  await addFiles(folder, '/', files)
  const {fileBytes, holeBytes, sparsest, unreadable} = files
  return {fileBytes, holeBytes, sparsest, ...unmeasuredOf(unreadable)}
}

/** The first reason, and how many others there are. */
function unmeasuredOf([first, ...others]: readonly string[]): {readonly unmeasured?: string} {
  if (first === undefined) return {}
  return {unmeasured: others.length === 0 ? first : `${first} (and ${others.length} more)`}
}

interface Files {
  fileBytes: number
  holeBytes: number
  sparsest: string
  mostBytes: number
  /** What could not be looked at, and why. */
  readonly unreadable: string[]
}

async function addFiles(folder: string, shown: string, files: Files): Promise<void> {
  for (const entry of await unlessGone(() => readdir(folder, {withFileTypes: true}), [], files)) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await addFiles(path, join(shown, entry.name), files)
    if (!entry.isFile()) continue
    const found = await unlessGone(() => lstat(path), undefined, files)
    if (found === undefined) continue
    const holes = Math.max(0, found.size - found.blocks * BLOCK_BYTES)
    files.fileBytes += found.size
    files.holeBytes += holes
    if (holes > files.mostBytes) Object.assign(files, {mostBytes: holes, sparsest: join(shown, entry.name)})
  }
}

/** Pages that CRIU writes: those that are not a file's. */
async function memoryOf(cgroup: string, proc: string, files: Files): Promise<number> {
  const pids = (await unlessGone(() => readFile(join(cgroup, 'cgroup.procs'), 'utf8'), '', files)).split('\n')
  let bytes = 0
  for (const pid of pids.filter((line) => line !== '')) {
    const status = await unlessGone(() => readFile(join(proc, pid, 'status'), 'utf8'), '', files)
    for (const [, kib] of status.matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$/gm))
      bytes += Number(kib) * 1024
  }
  return bytes
}

const GONE: readonly unknown[] = ['ENOENT', 'ESRCH', 'ENOTDIR']
const FORBIDDEN: readonly unknown[] = ['EACCES', 'EPERM']

/**
 * Files and processes come and go while they are counted. What may not be read is no reason to refuse a checkpoint
 * either, but it is told.
 */
async function unlessGone<T>(read: () => Promise<T>, otherwise: T, {unreadable}: Files): Promise<T> {
  try {
    return await read()
  } catch (error) {
    if (!(error instanceof Error) || !('code' in error)) throw error
    if (FORBIDDEN.includes(error.code)) unreadable.push(error.message)
    else if (!GONE.includes(error.code)) throw error
    return otherwise
  }
}

const isFolder = (path: string): Promise<boolean> =>
  lstat(path).then(
    (found) => found.isDirectory(),
    () => false,
  )
