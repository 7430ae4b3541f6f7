/** Ways to copy the memory of a process while it runs: before its dump, or after its restore. */
export interface CopyFeatures {
  /** Memory is copied before the dump: the kernel tracks which pages a process writes. */
  readonly precopy: boolean
  /** Memory is copied after the restore, when it is used: the kernel lets another process fill pages in. */
  readonly postcopy: boolean
}

/**
 * CRIU's page server makes a pipe of that size, and takes no notice when it may not
 * (https://github.com/checkpoint-restore/criu/blob/v4.2/criu/page-pipe.c#L368): every page that is requested of it then
 * fails with `splice: -1: Bad file descriptor`. Root may make such a pipe with CAP_SYS_RESOURCE, which nodes in
 * containers lack.
 */
export const PAGE_SERVER_PIPE_BYTES = 4 * 1024 * 1024
const CAP_SYS_RESOURCE = 24n

export interface PageServerLimits {
  /** /proc/sys/fs/pipe-max-size. */
  readonly pipeMaxBytes: number
  /** CapBnd of /proc/1/status on the host, in hexadecimal; absent: not known. */
  readonly boundingSet?: string
}

/** Whether CRIU's page server works on a node. */
export function canServePages({pipeMaxBytes, boundingSet = '0'}: PageServerLimits): boolean {
  const bounding = /^[\da-f]+$/i.test(boundingSet) ? BigInt(`0x${boundingSet}`) : 0n
  return pipeMaxBytes >= PAGE_SERVER_PIPE_BYTES || ((bounding >> CAP_SYS_RESOURCE) & 1n) === 1n
}

/**
 * What `criu check --feature` prints: `NAME is supported`, or why it is not. Both are needed: it ends with 0 also where
 * it has only printed a warning.
 */
export const isSupported = (feature: string, output: string): boolean =>
  output.split('\n').some((line) => line.trim() === `${feature} is supported`)

/** Whether the kernel marks pages that were written: it says so of each area in /proc/PID/smaps, of new ones too. */
export const tracksWrites = (smaps: string): boolean => /^VmFlags:.* sd( |$)/m.test(smaps)
