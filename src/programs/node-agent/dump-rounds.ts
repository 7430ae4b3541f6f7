import type {Checkpoint, CheckpointStatus} from '../../api/resources.ts'
import {errorMessage} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import type {DumpPlace} from './archives.ts'
import {discardRounds, isLargeEnough, preCopy, roomForRounds, type Round} from './pre-copy.ts'
import {resumePod} from './thaw.ts'
import type {AgentTools} from './tools.ts'
import {mib, type DumpSize} from './upper-layer.ts'

/** Of a status: rounds of pre-copy, or why there were none. */
export type PreCopyStatus = NonNullable<CheckpointStatus['preCopy']>

/** Memory that was copied before a dump. */
export interface CopiedBefore {
  /** Folders that were begun for it, by container. */
  readonly folders: ReadonlyMap<string, string>
  readonly rounds: number
  /** Absent: nobody wanted it. */
  readonly status?: PreCopyStatus
  /** To be called when the dump has ended. */
  readonly release: () => void
}

export const NOT_COPIED: CopiedBefore = {folders: new Map(), rounds: 0, release: () => undefined}

interface DumpToCopyFor {
  readonly running: readonly {readonly name: string; readonly id: string}[]
  readonly sizes: ReadonlyMap<string, DumpSize>
  readonly place: DumpPlace
  /** What the dump itself may write. */
  readonly wantedBytes: number
  /** Told of each round. Throws when the checkpoint is not wanted any more. */
  readonly report: (status: PreCopyStatus) => Promise<void>
}

type RoundTools = Pick<
  AgentTools,
  | 'archives'
  | 'cgroups'
  | 'log'
  | 'memory'
  | 'nodeFeatures'
  | 'outgoing'
  | 'pageServers'
  | 'runc'
  | 'shims'
  | 'signal'
>

/**
 * Copies the memory of a pod that is moved from node to node while it runs, where that is wanted, the kernel tracks
 * writes, and both nodes have room for it. A round that fails is no failure of the move: the dump is made without.
 */
export async function copyBefore(
  {spec}: Checkpoint,
  uid: string,
  pod: Pod,
  dump: DumpToCopyFor,
  tools: RoundTools,
): Promise<CopiedBefore> {
  if (spec.transfer?.preCopy !== true) return NOT_COPIED
  const sizes = [...dump.sizes.values()]
  const memoryBytes = sizes.reduce((sum, one) => sum + one.memoryBytes, 0)
  const roundBytes = roomForRounds(memoryBytes)
  const {reserved, why} = await reserve(uid, {memoryBytes, roundBytes}, dump, tools)
  if (reserved === undefined) return {...NOT_COPIED, status: {rounds: 0, copiedBytes: 0, message: why}}
  const folders = new Map<string, string>()
  const containers: {readonly id: string; readonly folder: string}[] = []
  try {
    for (const {name, id} of dump.running) {
      const folder = await tools.archives.beginFolder(uid, name, dump.place)
      folders.set(name, folder)
      containers.push({id, folder})
    }
    const report = (rounds: readonly Round[]): Promise<void> => dump.report(statusOf(rounds))
    const rounds = await preCopy(containers, {checkpointUid: uid, mostBytes: roundBytes, report}, tools)
    return {folders, rounds: rounds.length, status: statusOf(rounds), release: reserved}
  } catch (error) {
    reserved()
    tools.signal.throwIfAborted()
    if (!(error instanceof CheckpointError) || error.code !== 'CHECKPOINT_FAILED') throw error
    const message = `the memory could not be copied before the freeze: ${errorMessage(error)}`
    tools.log('warn', message, {checkpoint: uid})
    // CRIU may have ended while it had the processes frozen.
    await resumePod(pod.metadata.uid, tools)
    for (const container of containers) await discardRounds(container)
    return {...NOT_COPIED, folders, status: {rounds: 0, copiedBytes: 0, message}}
  }
}

const statusOf = (rounds: readonly Round[]): PreCopyStatus => ({
  rounds: rounds.length,
  copiedBytes: rounds.reduce((sum, {bytes}) => sum + bytes, 0),
})

/** Room for the rounds on this node, to be released; or why there is none, or no use for it. */
async function reserve(
  uid: string,
  {memoryBytes, roundBytes}: {readonly memoryBytes: number; readonly roundBytes: number},
  {sizes, place, wantedBytes}: DumpToCopyFor,
  {memory, nodeFeatures, outgoing, signal}: RoundTools,
): Promise<{readonly reserved?: () => void; readonly why: string}> {
  if (!isLargeEnough(memoryBytes)) return {why: `the pod has only ${mib(memoryBytes)} of memory`}
  if ((await nodeFeatures()).precopy !== true) return {why: 'the kernel of the node does not track writes'}
  const targetBytes = (await outgoing.roomOf(uid, signal)) ?? 0
  if (targetBytes < wantedBytes + roundBytes)
    return {why: `the target node has ${mib(targetBytes)} free, ${mib(wantedBytes + roundBytes)} are needed`}
  if (place === 'disk') {
    const freeBytes = Math.min(...[...sizes.values()].map((one) => one.freeBytes))
    if (freeBytes >= wantedBytes + roundBytes) return {reserved: () => undefined, why: ''}
    return {why: `the node has ${mib(freeBytes)} free, ${mib(wantedBytes + roundBytes)} are needed`}
  }
  const reserved = await memory.reserve(roundBytes)
  return reserved === undefined
    ? {why: `the node cannot spare ${mib(roundBytes)} of memory`}
    : {reserved, why: ''}
}
