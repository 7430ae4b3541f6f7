import {changedImage, recordsOf} from './criu-images.ts'
import type {OciSpec} from './oci-spec.ts'
import {changedFields, int32Of, numberField, readMessage} from './protobuf.ts'

/** Names of /proc/<pid>/limits, by their numbers in Linux: https://man7.org/linux/man-pages/man2/getrlimit.2.html */
const TYPES: readonly (readonly [type: string, name: string])[] = [
  ['RLIMIT_CPU', 'Max cpu time'],
  ['RLIMIT_FSIZE', 'Max file size'],
  ['RLIMIT_DATA', 'Max data size'],
  ['RLIMIT_STACK', 'Max stack size'],
  ['RLIMIT_CORE', 'Max core file size'],
  ['RLIMIT_RSS', 'Max resident set'],
  ['RLIMIT_NPROC', 'Max processes'],
  ['RLIMIT_NOFILE', 'Max open files'],
  ['RLIMIT_MEMLOCK', 'Max locked memory'],
  ['RLIMIT_AS', 'Max address space'],
  ['RLIMIT_LOCKS', 'Max file locks'],
  ['RLIMIT_SIGPENDING', 'Max pending signals'],
  ['RLIMIT_MSGQUEUE', 'Max msgqueue size'],
  ['RLIMIT_NICE', 'Max nice priority'],
  ['RLIMIT_RTPRIO', 'Max realtime priority'],
  ['RLIMIT_RTTIME', 'Max realtime timeout'],
]

/** Hard limits by their types; what is unlimited is not among them. */
export type Rlimits = ReadonlyMap<string, number>

/** What the processes of a dump have in use, the most of any of them. */
export interface UsedResources {
  readonly openFiles: number
  readonly addressBytes: number
}

/** Fields of CRIU's images: https://github.com/checkpoint-restore/criu/blob/v4.2/images/core.proto */
const [TASK, RLIMITS, OOM_SCORE_ADJ] = [3, 8, 14]
const [RLIMIT, SOFT, HARD] = [1, 1, 2]

/** Image of a process, which its limits are in. */
export const isCoreImage = (name: string): boolean => /^core-\d+\.img$/.test(name)

/** Reads /proc/<pid>/limits. Throws RangeError when it is something else. */
export function hardLimits(text: string): Rlimits {
  const limits = new Map<string, number>()
  for (const [type, name] of TYPES) {
    const line = text.split('\n').find((one) => one.startsWith(`${name} `))
    const hard = line?.slice(name.length).trim().split(/\s+/)[1]
    if (hard === undefined || !/^(\d+|unlimited)$/.test(hard))
      throw new RangeError(`/proc/<pid>/limits does not contain ${type}`)
    if (hard !== 'unlimited') limits.set(type, Number(hard))
  }
  return limits
}

/** Whether a process with one of these may raise its limits by itself. */
export const mayRaise = (capabilities: readonly string[]): boolean =>
  capabilities.includes('CAP_SYS_RESOURCE')

/**
 * The hard limits that a process begins with in a container of that spec, where a process that the runtime starts
 * without any has `inherited`. Empty where it may raise them: then those of the dump are no more than it may have.
 */
export function limitsOf({process}: Pick<OciSpec, 'process'>, inherited: Rlimits): Rlimits {
  if (mayRaise(Object.values(process.capabilities).flatMap((set) => set ?? []))) return new Map()
  // One above what JSON holds exactly is unlimited.
  const named = process.rlimits.map(({type, hard}) => [type, hard] as const)
  return new Map([...inherited, ...named])
}

/** Reads from CRIU's images, by their names in the folder, what limits would stand against. */
export function usedResources(images: ReadonlyMap<string, Uint8Array>): UsedResources {
  const records = (name: string) => recordsOf(name, images.get(name))
  const used = records('pstree.img').map((entry) => {
    const pid = entry.number(1) ?? 0
    const filesId = records(`ids-${pid}.img`)[0]?.number(2)
    const areas = records(`mm-${pid}.img`)[0]?.messages(14) ?? []
    return {
      openFiles: records(`fdinfo-${filesId}.img`).length,
      addressBytes: areas.reduce((sum, area) => sum + (area.number(2) ?? 0) - (area.number(1) ?? 0), 0),
    }
  })
  return {
    openFiles: Math.max(0, ...used.map(({openFiles}) => openFiles)),
    addressBytes: Math.max(0, ...used.map(({addressBytes}) => addressBytes)),
  }
}

/** Why a process could not go on under limits: it has more in use than it may have, a sentence each. */
export function beyondLimits({openFiles, addressBytes}: UsedResources, limits: Rlimits): string[] {
  const [files = Infinity, bytes = Infinity] = [limits.get('RLIMIT_NOFILE'), limits.get('RLIMIT_AS')]
  return [
    ...(openFiles > files
      ? [`they have ${openFiles} files open, but RLIMIT_NOFILE of the pod is ${files}`]
      : []),
    ...(addressBytes > bytes
      ? [`they have ${addressBytes} bytes of memory mapped, but RLIMIT_AS of the pod is ${bytes}`]
      : []),
  ]
}

/** What the processes of a dump are to have in their new container. */
export interface NewLimits {
  readonly rlimits: Rlimits
  /** `process.oomScoreAdj` of its spec; absent: as dumped. */
  readonly oomScoreAdj?: number | undefined
}

/**
 * The images of processes, by their names in the folder, with limits lowered to those of the new container, and none
 * raised. Their oom_score_adj becomes that of the container, and not less for what a process had added to its own.
 * Only what changes is in the answer. Throws RangeError with the name of an image that is broken.
 */
export function withLimits(
  images: ReadonlyMap<string, Uint8Array>,
  {rlimits, oomScoreAdj}: NewLimits,
): ReadonlyMap<string, Uint8Array> {
  const cores = [...images].filter(([name]) => isCoreImage(name))
  const before = oomScoreBefore(cores)
  const lowered = new Map<string, Uint8Array>()
  for (const [name, image] of cores) {
    const next = changedImage(name, image, (core) =>
      changedFields(core, {
        [TASK]: (task) =>
          withScore(
            changedFields(bytesOf(task), {[RLIMITS]: (entries) => withRlimits(bytesOf(entries), rlimits)}),
            before,
            oomScoreAdj,
          ),
      }),
    )
    if (next === undefined) throw new RangeError(`${name} is not a CRIU image of a process`)
    if (!next.equals(image)) lowered.set(name, next)
  }
  return lowered
}

/** What the container had been given: the lowest of all, since none of its processes could go below. */
function oomScoreBefore(cores: readonly (readonly [string, Uint8Array])[]): number | undefined {
  const scores = cores
    .map(([name, image]) => recordsOf(name, image)[0]?.message(TASK)?.int32(OOM_SCORE_ADJ))
    .filter((score) => score !== undefined)
  return scores.length === 0 ? undefined : Math.min(...scores)
}

function withRlimits(entries: Uint8Array, rlimits: Rlimits): Buffer {
  let index = 0
  return changedFields(entries, {
    [RLIMIT]: (entry) => {
      const most = rlimits.get(TYPES[index]?.[0] ?? '')
      index += 1
      const lower = (value: Uint8Array | bigint): bigint =>
        most === undefined || numberOf(value) <= BigInt(most) ? numberOf(value) : BigInt(most)
      return changedFields(bytesOf(entry), {[SOFT]: lower, [HARD]: lower})
    },
  })
}

function withScore(task: Buffer, before: number | undefined, wanted: number | undefined): Buffer {
  if (wanted === undefined) return task
  const next = (score: number): number => (score === before ? wanted : Math.max(score, wanted))
  // Without one it would have that of whoever restores it.
  if (readMessage(task)?.int32(OOM_SCORE_ADJ) === undefined)
    return Buffer.concat([task, numberField(OOM_SCORE_ADJ, BigInt(wanted))])
  return changedFields(task, {[OOM_SCORE_ADJ]: (score) => BigInt(next(int32Of(numberOf(score))))})
}

function bytesOf(value: Uint8Array | bigint): Uint8Array {
  if (typeof value === 'bigint') throw new RangeError('found a number, expected a message')
  return value
}

function numberOf(value: Uint8Array | bigint): bigint {
  if (typeof value !== 'bigint') throw new RangeError('found a message, expected a number')
  return value
}
