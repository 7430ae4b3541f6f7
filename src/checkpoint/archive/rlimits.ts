import {recordsOf} from './criu-images.ts'
import type {OciSpec} from './oci-spec.ts'

/** By their numbers in Linux: https://man7.org/linux/man-pages/man2/getrlimit.2.html */
const TYPES = [
  ...['RLIMIT_CPU', 'RLIMIT_FSIZE', 'RLIMIT_DATA', 'RLIMIT_STACK', 'RLIMIT_CORE', 'RLIMIT_RSS'],
  ...['RLIMIT_NPROC', 'RLIMIT_NOFILE', 'RLIMIT_MEMLOCK', 'RLIMIT_AS', 'RLIMIT_LOCKS', 'RLIMIT_SIGPENDING'],
  ...['RLIMIT_MSGQUEUE', 'RLIMIT_NICE', 'RLIMIT_RTPRIO', 'RLIMIT_RTTIME'],
]

/** The largest hard limits that any process of a dump has; unlimited is 2^64 - 1. */
export type Rlimits = ReadonlyMap<string, number>

/** Image of a process, which its limits are in. */
export const isCoreImage = (name: string): boolean => /^core-\d+\.img$/.test(name)

/** Reads the limits of processes from CRIU's images, by their names in the folder. */
export function rlimitsOf(images: ReadonlyMap<string, Uint8Array>): Rlimits {
  const largest = new Map<string, number>()
  for (const name of [...images.keys()].filter(isCoreImage)) {
    // core_entry.tc.rlimits: https://github.com/checkpoint-restore/criu/blob/v4.2/images/core.proto
    const entries = recordsOf(name, images.get(name))[0]?.message(3)?.message(8)?.messages(1) ?? []
    for (const [index, entry] of entries.entries()) {
      const type = TYPES[index]
      if (type !== undefined) largest.set(type, Math.max(largest.get(type) ?? 0, entry.number(2) ?? 0))
    }
  }
  return largest
}

/**
 * Hard limits of dumped processes above those that the spec of a container sets, a sentence each; soft ones a process
 * raises to them as it likes, and with CAP_SYS_RESOURCE these too. What the spec does not set is the runtime's own, and
 * nothing is said of it.
 */
export function widerRlimits(dumped: Rlimits, {process}: Pick<OciSpec, 'process'>): string[] {
  if (Object.values(process.capabilities).some((set) => set?.includes('CAP_SYS_RESOURCE') === true)) return []
  return process.rlimits.flatMap(({type, hard}) => {
    const own = dumped.get(type) ?? 0
    return own <= hard ? [] : [`their ${type} may be ${own}, and the pod's at most ${hard}`]
  })
}
