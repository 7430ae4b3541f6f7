import {lstat, readdir, readFile, statfs} from 'node:fs/promises'
import {join} from 'node:path'
import {CheckpointError} from '../errors.ts'

const MIB = 1024 * 1024
/** containerd writes holes out, zero by zero, while the pod stands still. */
const MOST_HOLE_BYTES = 256 * MIB
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
}

export type DumpMeter = (container: {readonly pid: number; readonly cgroup: string}) => Promise<DumpSize>

/** Refuses, while the pod runs on, what would be written for minutes or fill the node. Throws CheckpointError TOO_LARGE. */
export function refuseLarge(container: string, size: DumpSize): void {
  const {fileBytes, holeBytes, sparsest, memoryBytes, freeBytes} = size
  if (holeBytes > MOST_HOLE_BYTES)
    throw new CheckpointError(
      'TOO_LARGE',
      `the files of container ${container} have ${mib(holeBytes)} of holes, most of them ${sparsest}; at most ${mib(MOST_HOLE_BYTES)} can be checkpointed: keep sparse files on a volume`,
    )
  // The dump itself, and the archive that is made of it.
  const wantedBytes = 2 * (fileBytes + memoryBytes) + SPARE_BYTES
  if (wantedBytes > freeBytes)
    throw new CheckpointError(
      'TOO_LARGE',
      `a checkpoint of container ${container} takes ${mib(wantedBytes)} while it is made, and the node has ${mib(freeBytes)} free`,
    )
}

const mib = (bytes: number): string => `${Math.ceil(bytes / MIB)} MiB`

/** Measures containers whose root is an overlay; of another one the files are not known, and count nothing. */
export function dumpMeter({
  proc,
  folder,
}: {
  readonly proc: string
  /** Where dumps are written. */
  readonly folder: string
}): DumpMeter {
  return async ({pid, cgroup}) => {
    const upper = upperOf(await unlessGone(() => readFile(join(proc, String(pid), 'mountinfo'), 'utf8'), ''))
    const files = {fileBytes: 0, holeBytes: 0, sparsest: '', mostBytes: 0}
    if (upper !== undefined) await addFiles(upper, '/', files)
    const {bavail, bsize} = await statfs(folder)
    const {fileBytes, holeBytes, sparsest} = files
    const memoryBytes = await memoryOf(cgroup, proc)
    return {fileBytes, holeBytes, sparsest, memoryBytes, freeBytes: bavail * bsize}
  }
}

/** https://docs.kernel.org/filesystems/proc.html: the fifth field is where it is mounted, the options come last. */
function upperOf(mountinfo: string): string | undefined {
  const root = mountinfo.split('\n').find((line) => line.split(' ')[4] === '/')
  const [, upper] = /^.* - overlay \S+ (?:\S*,)?upperdir=([^,\s]+)/.exec(root ?? '') ?? []
  return upper
}

interface Files {
  fileBytes: number
  holeBytes: number
  sparsest: string
  mostBytes: number
}

async function addFiles(folder: string, shown: string, files: Files): Promise<void> {
  for (const entry of await unlessGone(() => readdir(folder, {withFileTypes: true}), [])) {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) await addFiles(path, join(shown, entry.name), files)
    if (!entry.isFile()) continue
    const found = await unlessGone(() => lstat(path), undefined)
    if (found === undefined) continue
    const holes = Math.max(0, found.size - found.blocks * BLOCK_BYTES)
    files.fileBytes += found.size
    files.holeBytes += holes
    if (holes > files.mostBytes) Object.assign(files, {mostBytes: holes, sparsest: join(shown, entry.name)})
  }
}

/** Pages that CRIU writes: those that are not a file's. */
async function memoryOf(cgroup: string, proc: string): Promise<number> {
  const pids = (await unlessGone(() => readFile(join(cgroup, 'cgroup.procs'), 'utf8'), '')).split('\n')
  let bytes = 0
  for (const pid of pids.filter((line) => line !== '')) {
    const status = await unlessGone(() => readFile(join(proc, pid, 'status'), 'utf8'), '')
    for (const [, kib] of status.matchAll(/^(?:RssAnon|RssShmem|VmSwap):\s+(\d+) kB$/gm))
      bytes += Number(kib) * 1024
  }
  return bytes
}

const UNCOUNTED: readonly unknown[] = ['ENOENT', 'ESRCH', 'ENOTDIR', 'EACCES', 'EPERM']

/** Files and processes come and go while they are counted; what cannot be read is no reason to refuse a checkpoint. */
async function unlessGone<T>(read: () => Promise<T>, otherwise: T): Promise<T> {
  try {
    return await read()
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined
    if (UNCOUNTED.includes(code)) return otherwise
    throw error
  }
}
