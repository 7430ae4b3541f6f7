import type {Checkpoint, Retention} from '../api/resources.ts'

/** When a checkpoint was made. Creation is known to the second only: the start, then the number in the name tell two apart. */
export interface CheckpointAge {
  readonly createdAtMs: number
  readonly startedAtMs: number
  readonly name: string
}

/** A checkpoint as far as retention looks. */
export interface RetainedCheckpoint extends CheckpointAge {
  /** Newest checkpoints are counted per group: pod and set of containers, of one owner. */
  readonly group: string
  readonly phase: 'unfinished' | 'ready' | 'failed'
  /** Sealed size; what checkpoints share counts for each of them. */
  readonly storedBytes: number
  /** The pod that it was made of is gone: it may be all that is left of it. */
  readonly podGone: boolean
  /** A Restore, a Migration or a Runtime goes on from it, or it holds a pod frozen. */
  readonly inUse: boolean
}

export function ageOf({metadata, status}: Checkpoint): CheckpointAge {
  const startedAtMs = Date.parse(status?.startTime ?? '') || 0
  return {
    createdAtMs: Date.parse(metadata.creationTimestamp ?? '') || startedAtMs,
    startedAtMs,
    name: metadata.name,
  }
}

/** Orders checkpoints, the oldest first. */
export const byAge = (one: CheckpointAge, other: CheckpointAge): number =>
  one.createdAtMs - other.createdAtMs ||
  one.startedAtMs - other.startedAtMs ||
  one.name.localeCompare(other.name, 'en', {numeric: true})

/** What retention looks at of a Checkpoint object. `podUids` are those of the pods that there are now. */
export function retained<T extends Checkpoint>(
  checkpoint: T,
  {podUids, inUse}: {readonly podUids: ReadonlySet<string>; readonly inUse: boolean},
): RetainedCheckpoint & {readonly checkpoint: T} {
  const {spec, status} = checkpoint
  const {podRef, import: imported, containers = [], owner = 'user'} = spec
  const of = podRef === undefined ? `import ${imported?.digest ?? ''}` : `pod ${podRef.name}`
  const uid = status?.podUID ?? podRef?.uid
  const phases = {Ready: 'ready', Failed: 'failed'} as const
  const phase = status?.phase
  return {
    checkpoint,
    group: [owner, of, ...containers.toSorted()].join(' '),
    ...ageOf(checkpoint),
    phase: phase === 'Ready' || phase === 'Failed' ? phases[phase] : 'unfinished',
    storedBytes: status?.storedBytes ?? 0,
    podGone: uid === undefined || !podUids.has(uid),
    inUse: inUse || status?.frozen === true,
  }
}

/**
 * Which checkpoints of one namespace and store are to be deleted.
 *
 * - One that is unfinished, or in use, is never deleted, but counts.
 * - `keepLast` keeps the newest ready ones of each group, and as many failed ones, which tell why.
 * - `maxAge` deletes what is older, whatever it is.
 * - `maxBytes` then deletes the oldest ready ones until the rest fits. The newest of a group is spared when its pod is gone:
 *   it is all that is left of that pod, and only a time that somebody named may end that. So the rest may not fit.
 */
export function expired<T extends RetainedCheckpoint>(
  checkpoints: readonly T[],
  retention: Retention,
  nowMs: number,
): readonly T[] {
  const {keepLast = Number.POSITIVE_INFINITY, maxAgeSeconds, maxBytes = Number.POSITIVE_INFINITY} = retention
  const maxAgeMs = maxAgeSeconds === undefined ? Number.POSITIVE_INFINITY : maxAgeSeconds * 1000
  const newestFirst = checkpoints.toSorted(byAge).reverse()
  const doomed = new Set<T>()
  const newest = new Set<T>()
  for (const group of Map.groupBy(newestFirst, ({group, phase}) => `${phase} ${group}`).values()) {
    for (const [rank, checkpoint] of group.entries()) {
      if (rank === 0) newest.add(checkpoint)
      if (rank >= keepLast || nowMs - checkpoint.createdAtMs > maxAgeMs) doomed.add(checkpoint)
    }
  }
  const spared = ({phase, inUse}: T) => phase === 'unfinished' || inUse
  for (const checkpoint of doomed) if (spared(checkpoint)) doomed.delete(checkpoint)
  const left = newestFirst.filter((checkpoint) => !doomed.has(checkpoint))
  let bytes = left.reduce((sum, {storedBytes}) => sum + storedBytes, 0)
  for (const checkpoint of left.toReversed()) {
    if (bytes <= maxBytes) break
    const last = newest.has(checkpoint) && checkpoint.podGone
    if (checkpoint.phase !== 'ready' || spared(checkpoint) || last) continue
    doomed.add(checkpoint)
    bytes -= checkpoint.storedBytes
  }
  return newestFirst.filter((checkpoint) => doomed.has(checkpoint))
}
