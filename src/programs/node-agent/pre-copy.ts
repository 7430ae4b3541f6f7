import {lstat, mkdir, readdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {pause} from '../../base/waiting.ts'
import {roundName} from '../../checkpoint/archive/pre-copy.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {AgentTools} from './tools.ts'

const MIB = 1024 ** 2
/** Pods with less are dumped and sent in the time that one round takes. */
const LEAST_MEMORY_BYTES = 64 * MIB
/** So much is dumped and sent in an instant. */
const SMALL_BYTES = 16 * MIB
const SMALL_MS = 200
const MOST_OF_ROUNDS = 5
/** A round that leaves more than that of the one before does not come to an end. */
const LEAST_SHRINKAGE = 0.7
/** Nodes that are to go away, and people, wait for a move. */
const MOST_MS = 120_000
const ROUND_TIMEOUT_MS = 120_000
const LOOK_MS = 20
/** A target that receives nothing for so long is not waited for. */
const STALLED_MS = 5_000

/** A round: what was written to the folder in it, and how long that took. */
export interface Round {
  readonly bytes: number
  readonly ms: number
}

/** What room there is for all rounds, if each container wrote all of its memory twice. */
export const roomForRounds = (memoryBytes: number): number => 2 * memoryBytes + SMALL_BYTES

/** Whether memory is copied once more before the pod is frozen. */
export function isWorthAnother(rounds: readonly Round[], mostBytes: number, elapsedMs: number): boolean {
  const [last, before] = [rounds.at(-1), rounds.at(-2)]
  if (last === undefined) return true
  if (rounds.length >= MOST_OF_ROUNDS || elapsedMs >= MOST_MS) return false
  const fastest = Math.max(...rounds.map(({bytes, ms}) => bytes / Math.max(1, ms)))
  if (last.bytes <= Math.max(SMALL_BYTES, fastest * SMALL_MS)) return false
  if (before !== undefined && last.bytes > LEAST_SHRINKAGE * before.bytes) return false
  // The next one is not expected to be larger than this one; of the first one that is not known.
  return rounds.reduce((sum, {bytes}) => sum + bytes, 0) + last.bytes <= mostBytes
}

/** A container whose memory is copied, and the folder of its dump. */
export interface PreCopiedContainer {
  readonly id: string
  readonly folder: string
}

export interface PreCopyOptions {
  readonly checkpointUid: string
  /** What may be written in all rounds. */
  readonly mostBytes: number
  /** Told of each round once it is written. Throws when the copies are not needed any more. */
  readonly report: (rounds: readonly Round[]) => Promise<void>
}

type PreCopyTools = Pick<AgentTools, 'log' | 'outgoing' | 'runc' | 'signal'>

/** Whether so much memory is worth a round. */
export const isLargeEnough = (memoryBytes: number): boolean => memoryBytes >= LEAST_MEMORY_BYTES

/**
 * Copies the memory of containers into the folders of their dumps while they run, in rounds, each of what was written
 * since the one before, until the rest is small; meanwhile what is copied is sent. CRIU freezes the processes in each
 * round for as long as it takes to find out what was written. Throws CheckpointError CHECKPOINT_FAILED when a round
 * failed: the dump has to be made without any then, since nothing tells which pages were written before that.
 */
export async function preCopy(
  containers: readonly PreCopiedContainer[],
  {checkpointUid, mostBytes, report}: PreCopyOptions,
  tools: PreCopyTools,
): Promise<readonly Round[]> {
  const startedMs = performance.now()
  const rounds: Round[] = []
  while (isWorthAnother(rounds, mostBytes, performance.now() - startedMs)) {
    const number = rounds.length + 1
    const begunMs = performance.now()
    let bytes = 0
    for (const container of containers) bytes += await copyOnce(number, container, tools)
    rounds.push({bytes, ms: performance.now() - begunMs})
    tools.log('info', 'copied memory of a running pod', {checkpoint: checkpointUid, round: number, bytes})
    await report(rounds)
    await untilSent(checkpointUid, tools)
  }
  return rounds
}

async function copyOnce(
  round: number,
  {id, folder}: PreCopiedContainer,
  {runc, signal}: PreCopyTools,
): Promise<number> {
  const images = join(folder, 'checkpoint', roundName(round))
  const work = join(folder, 'work', roundName(round))
  for (const path of [images, work]) await mkdir(path, {recursive: true, mode: 0o700})
  const before = round === 1 ? {} : {parent: `../${roundName(round - 1)}`}
  const prepared = await runc.prepare('pre-dump', id, {images, work, ...before}, signal)
  const limit = AbortSignal.timeout(ROUND_TIMEOUT_MS)
  await prepared.run(AbortSignal.any([signal, limit])).catch((error: unknown) => {
    signal.throwIfAborted()
    throw limit.aborted
      ? new CheckpointError('CHECKPOINT_FAILED', `a round took longer than ${ROUND_TIMEOUT_MS / 1000} s`)
      : error
  })
  const sizes = (await readdir(images)).map(async (name) => (await lstat(join(images, name))).size)
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0)
}

/** Waits until the target has been sent nearly all: what is left is sent while the pod is frozen. */
async function untilSent(checkpointUid: string, {outgoing, signal}: PreCopyTools): Promise<void> {
  let [leastBytes, sinceMs] = [Number.POSITIVE_INFINITY, performance.now()]
  for (;;) {
    const leftBytes = await outgoing.unsentBytes(checkpointUid)
    if (leftBytes <= SMALL_BYTES) return
    if (leftBytes < leastBytes) [leastBytes, sinceMs] = [leftBytes, performance.now()]
    if (performance.now() - sinceMs > STALLED_MS) return
    await pause(LOOK_MS, signal)
  }
}

/** Removes what rounds that failed have left in the folder of a dump, and the folder can be dumped to. */
export async function discardRounds({folder}: PreCopiedContainer): Promise<void> {
  for (const name of ['checkpoint', 'work'])
    await rm(join(folder, name), {recursive: true, force: true, maxRetries: 5})
}
