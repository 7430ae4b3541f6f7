import {API_VERSION} from '../../../api/names.ts'
import {migrationSchema, type Migration} from '../../../api/resources.ts'
import {errorMessage, isTransient} from '../../../base/errors.ts'
import {pause} from '../../../base/waiting.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {KubeObject, ObjectRef} from '../../../kubernetes/types.ts'
import {checkpointRef, parseCheckpoint, type Named} from '../checkpoint-object.ts'
import type {AgentTools} from '../tools.ts'
import {writeStatusIf} from '../write-status.ts'
import {PIN_HEADER, ROOM_HEADER, transferKey, type TransferKey} from './access.ts'
import type {WantedDump} from './wanted-dump.ts'
import type {DumpPulls, ReceivedFolders} from './incoming.ts'
import type {OpenedDump} from './receive.ts'

/** Asks the node agent of `wanted.source` for a dump. Throws CheckpointError TRANSFER_FAILED. */
export type DumpOpener = (
  wanted: WantedDump,
  headersOf: (channel: Buffer) => Readonly<Record<string, string>>,
  signal: AbortSignal,
) => Promise<OpenedDump>

export type PullTools = Pick<AgentTools, 'kube' | 'node' | 'now' | 'log' | 'signal' | 'incoming'> & {
  readonly openDump: DumpOpener
}

/** Phases in which the target has, or may still need, the dump. */
const WANTED: readonly unknown[] = ['Checkpointing', 'Preparing', 'Moving', 'Verifying']
const TELL_EVERY_MS = 1000
const AGAIN_MS = 500
/** The source offers a dump within so long after all of it was sent; one that was started anew waits to be asked again. */
const OFFER_MS = 10_000
/** Between two looks whether the source offers the dump: twice as long each time. */
const LOOK_MS = {first: 10, most: 500}

interface Pull {
  readonly over: AbortController
  readonly done: Promise<void>
}

/** Dumps are asked for until they are here as a whole, or their Migration is over. */
export function dumpPulls(tools: PullTools): DumpPulls {
  const {incoming, log, signal} = tools
  const byMigration = new Map<string, Pull>()
  const byCheckpoint = new Map<string, Pull>()
  const refusals = new Map<string, CheckpointError>()
  return {
    begin(object) {
      const {metadata} = object
      const uid = metadata.uid ?? ''
      if (byMigration.has(uid) || !isToPull(object, tools.node)) return
      const over = new AbortController()
      const both = AbortSignal.any([signal, over.signal])
      let checkpointUid: string | undefined
      const note = (named: string): void => {
        checkpointUid = named
        byCheckpoint.set(named, pull)
      }
      const done = pullUntilWhole(object, note, {...tools, signal: both})
        .catch((error: unknown) => {
          if (both.aborted) return
          log('warn', 'could not receive a dump', {migration: metadata.name, error: errorMessage(error)})
          if (error instanceof CheckpointError && checkpointUid !== undefined)
            refusals.set(checkpointUid, error)
        })
        .finally(() => {
          byMigration.delete(uid)
          if (checkpointUid !== undefined) byCheckpoint.delete(checkpointUid)
        })
      const pull: Pull = {over, done}
      byMigration.set(uid, pull)
    },
    async settled(checkpointUid) {
      await byCheckpoint.get(checkpointUid)?.done
      const refusal = refusals.get(checkpointUid)
      if (refusal !== undefined) throw refusal
    },
    async remove(checkpointUid) {
      const pull = byCheckpoint.get(checkpointUid)
      pull?.over.abort(new CheckpointError('TRANSFER_FAILED', 'the dump is not needed'))
      await pull?.done
      refusals.delete(checkpointUid)
      await incoming.remove(checkpointUid)
    },
  }
}

/** Whether a Migration moves a pod from node to node to this one, and is not over. */
export function isToPull(object: KubeObject, node: string): boolean {
  const {status = {}} = migrationSchema.parse(object)
  return status.way === 'Direct' && status.targetNodeName === node && WANTED.includes(status.phase)
}

/** Returns when the dump that the Checkpoint names is here, or nobody needs it. Throws CheckpointError TOO_LARGE. */
async function pullUntilWhole(
  migration: KubeObject,
  note: (checkpointUid: string) => void,
  tools: PullTools,
): Promise<void> {
  const {kube, node, incoming, log, signal} = tools
  const ref = refOf(migration)
  let key: TransferKey | undefined
  // What was received once and is received again is no progress.
  const most = {bytes: 0}
  let lookMs = LOOK_MS.first
  const lookLater = async (): Promise<void> => {
    await pause(lookMs, signal)
    lookMs = Math.min(2 * lookMs, LOOK_MS.most)
  }
  let receivedAtMs = tools.now()
  for (let received: ReceivedFolders | undefined; ;) {
    signal.throwIfAborted()
    try {
      const now = await kube.get(ref)
      if (now === undefined || now.metadata.uid !== migration.metadata.uid || !isToPull(now, node)) return
      const checkpoint = await checkpointOf(migrationSchema.parse(now), tools)
      const {phase, transfer, nodeName} = checkpoint?.status ?? {}
      if (phase === 'Failed' || phase === 'Ready') return
      if (checkpoint?.spec.transfer?.nodeName !== node || nodeName === undefined) {
        // The source has to find it by the time that it is asked.
        key ??= await publishedKey(now, tools)
        await lookLater()
        continue
      }
      note(checkpoint.uid)
      received ??= await incoming.find(checkpoint.uid)
      if (received !== undefined && transfer === undefined && tools.now() - receivedAtMs < OFFER_MS) {
        await lookLater()
        continue
      }
      if (received !== undefined && received.digest === transfer?.digest) return
      if (received !== undefined)
        log('warn', 'receiving a dump again: it is not the one that is offered', {
          checkpoint: checkpoint.name,
        })
      received = undefined
      key ??= await publishedKey(now, tools)
      received = await receive(now, checkpoint, {key, most}, {...tools, signal})
      receivedAtMs = tools.now()
      lookMs = LOOK_MS.first
    } catch (error) {
      signal.throwIfAborted()
      if (!isPassing(error)) throw error
      log('info', 'receiving a dump failed, retrying', {migration: ref.name, error: errorMessage(error)})
      key = undefined
      await pause(AGAIN_MS, signal)
    }
  }
}

const isPassing = (error: unknown): boolean =>
  isTransient(error) || !(error instanceof CheckpointError) || error.code === 'TRANSFER_FAILED'

async function checkpointOf(
  {metadata, status}: Migration,
  {kube}: Pick<PullTools, 'kube'>,
): Promise<Named | undefined> {
  const object = await kube.get(
    checkpointRef({namespace: metadata.namespace ?? '', name: status?.checkpointName ?? ''}),
  )
  return object === undefined ? undefined : parseCheckpoint(object)
}

/** A key whose public half the source finds in the status of the Migration. */
async function publishedKey(migration: KubeObject, tools: PullTools): Promise<TransferKey> {
  const key = transferKey()
  await writeTransfer(migration, {publicKey: key.publicKey, receivedBytes: 0}, tools)
  return key
}

async function receive(
  migration: KubeObject,
  checkpoint: Named,
  {key, most}: {readonly key: TransferKey; readonly most: {bytes: number}},
  tools: PullTools,
): Promise<ReceivedFolders> {
  const {incoming, openDump, log, now} = tools
  const wanted: WantedDump = {
    namespace: checkpoint.namespace,
    checkpoint: checkpoint.name,
    checkpointUid: checkpoint.uid,
    migration: migration.metadata.name,
    source: checkpoint.status?.nodeName ?? '',
  }
  const startedMs = now()
  const progress = progressOf(migration, most, tools)
  const received = await incoming.receive(checkpoint.uid, {
    open: async (pin, signal) => {
      const own = {[ROOM_HEADER]: String(await incoming.roomBytes()), [PIN_HEADER]: pin}
      return openDump(wanted, (channel) => ({...key.headersOf(wanted, channel), ...own}), signal)
    },
    onBytes: progress.note,
    signal: tools.signal,
  })
  // The answer of this node follows: it must not cross what is being written.
  await progress.ended()
  const {namespace} = checkpoint
  const about = {checkpoint: checkpoint.name, namespace, bytes: received.sizeBytes, ms: now() - startedMs}
  log('info', 'received a dump', about)
  return received
}

/** Writes how much was received, once a second at most; one that fails is no reason to stop. */
function progressOf(
  migration: KubeObject,
  most: {bytes: number},
  tools: PullTools,
): {
  readonly note: (receivedBytes: number, expectedBytes: number) => void
  readonly ended: () => Promise<void>
} {
  let toldAtMs = tools.now()
  let telling = Promise.resolve()
  return {
    note(receivedBytes, expectedBytes) {
      if (tools.now() - toldAtMs < TELL_EVERY_MS || receivedBytes <= most.bytes) return
      toldAtMs = tools.now()
      most.bytes = receivedBytes
      telling = telling
        .then(() => writeTransfer(migration, {receivedBytes, ...sizeOf(receivedBytes, expectedBytes)}, tools))
        .catch((error: unknown) => {
          if (!tools.signal.aborted)
            tools.log('warn', 'could not report progress', {error: errorMessage(error)})
        })
    },
    ended: () => telling,
  }
}

/** An estimate that was too low is none, and takes away the one that was written before. */
const sizeOf = (receivedBytes: number, expectedBytes: number): {readonly sizeBytes: number | null} => ({
  sizeBytes: expectedBytes < receivedBytes ? null : expectedBytes,
})

async function writeTransfer(
  migration: KubeObject,
  transfer: {
    readonly receivedBytes: number
    readonly sizeBytes?: number | null
    readonly publicKey?: string
  },
  tools: PullTools,
): Promise<void> {
  // A transfer that begins again and again is no progress: the source is thawed when there is none.
  const progress = transfer.receivedBytes === 0 ? {} : {progressTime: new Date(tools.now()).toISOString()}
  const isSame = (now: KubeObject): boolean =>
    now.metadata.uid === migration.metadata.uid && isToPull(now, tools.node)
  await writeStatusIf(refOf(migration), isSame, {transfer: {...transfer, ...progress}}, tools)
}

const refOf = ({metadata: {namespace, name}}: KubeObject): ObjectRef => ({
  ...{apiVersion: API_VERSION, kind: 'Migration', name},
  ...(namespace === undefined ? {} : {namespace}),
})
