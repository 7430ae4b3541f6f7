import {isOfTemplate} from '../../checkpoint/pod-template.ts'
import type {CheckpointStatus} from '../../api/resources.ts'
import {errorMessage, isTransient} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {isHeldByMove} from '../../checkpoint/moves.ts'
import type {Requeue} from '../../operator/reconciler.ts'
import {withPhaseConditions} from '../../operator/phase-conditions.ts'
import {dumpPod, type DumpTools} from './dump.ts'
import {importCheckpoint, type ImportTools} from './import.ts'
import {runPostCheckpointHook, endFreeze, endIfDeleted, undo, type LetGoTools} from './end-freeze.ts'
import {checkpointRef, parseCheckpoint, type CheckpointName, type Named} from './checkpoint-object.ts'
import {moveOf} from './move-gate.ts'
import {podOf, type Pod} from '../../kubernetes/pod.ts'
import {TargetRefusal} from './transfer/target-room.ts'
import {offerDump, type OfferTools} from './transfer/offer.ts'
import {removeCheckpoint, type RemovalTools} from './remove.ts'
import {sealDumped, type SealTools} from './seal.ts'
import type {AgentTools} from './tools.ts'
import {holderOf, withPodLock, resumeUnlessHeld, type ResumeTools} from './pod-lock.ts'
import {mib} from './upper-layer.ts'
import {verifyAsked} from './verify.ts'
import {isStopped, resumePod} from './thaw.ts'
import {writeOwn, writeUnlessConflict} from './write-status.ts'

/** Between two checks whether a move has decided about its source, whose Checkpoint was removed by force. */
const HELD_MS = 1000

/** What each step towards the end of a Checkpoint works with. */
type DumpStepTools = DumpTools & ResumeTools & OfferTools & Pick<AgentTools, 'dumps' | 'metrics' | 'now'>
type StoreTools = SealTools & Pick<AgentTools, 'kube' | 'metrics'>
type GiveUpTools = ResumeTools & Pick<AgentTools, 'archives' | 'exec' | 'metrics' | 'now'>
type CheckpointTools = DumpStepTools &
  StoreTools &
  GiveUpTools &
  ImportTools &
  LetGoTools &
  RemovalTools &
  Pick<AgentTools, 'nodeFeatures'>

/**
 * Brings a Checkpoint to its end, from whatever its status says was reached: claims it if its pod is on this node,
 * dumps, seals, and lets go of the pod. Each step is written to the status before the next, and may be done twice.
 * Throws KubernetesError that is transient, to be tried again; what fails otherwise is in the status.
 */
export async function reconcileCheckpoint(name: CheckpointName, tools: CheckpointTools): Promise<void> {
  let last: Named | undefined
  for (;;) {
    tools.signal.throwIfAborted()
    const object = await tools.kube.get(checkpointRef(name))
    if (object === undefined) {
      // Deleted in the middle of a step.
      if (last !== undefined) await abandon(last, tools)
      return
    }
    const checkpoint = parseCheckpoint(object)
    if (last !== undefined && last.uid !== checkpoint.uid) await abandon(last, tools)
    last = checkpoint
    const hasNextStep = await oneStep(checkpoint, tools).catch(async (error: unknown) => {
      if (tools.signal.aborted || isTransient(error)) throw error
      await giveUp(checkpoint, error, tools)
      return true
    })
    if (!hasNextStep) return
  }
}

/**
 * What a Checkpoint that is gone leaves behind: nothing, and its pod goes on. A move that has begun to start the pod on
 * its target decides about the source first; until then this is to be done again.
 */
export async function abandon(
  checkpoint: Named,
  tools: ResumeTools & LetGoTools & Pick<AgentTools, 'archives' | 'node'>,
): Promise<Requeue> {
  const {uid, status, namespace, name} = checkpoint
  if (status?.nodeName !== tools.node || status.phase === 'Pending') return undefined
  const isOver = status.phase === 'Ready' || status.phase === 'Failed'
  if (status.podUID !== undefined && (!isOver || status.frozen === true)) {
    if (isHeldByMove(await moveOf(namespace, name, tools.kube))) {
      await endIfDeleted(checkpoint, tools)
      return {requeueAfterMs: HELD_MS}
    }
    if (!(await endIfDeleted(checkpoint, tools))) await resumeUnlessHeld(status.podUID, checkpoint, tools)
  }
  await tools.archives.remove(uid)
  return undefined
}

/** Whether there is a next step. */
async function oneStep(checkpoint: Named, tools: CheckpointTools): Promise<boolean> {
  const {spec, status = {}, metadata} = checkpoint
  if (metadata.deletionTimestamp !== undefined) {
    if (status.nodeName === tools.node) await removeCheckpoint(checkpoint, tools)
    return false
  }
  if (spec.import !== undefined && isToImport(status, tools)) {
    await importCheckpoint(checkpoint, spec.import.digest, tools)
    return false
  }
  if (spec.podRef === undefined) return false
  switch (status.phase) {
    case undefined:
    case 'Pending':
      return claim(checkpoint, spec.podRef, tools)
    case 'Dumping':
      if (status.nodeName !== tools.node) return false
      await dump(checkpoint, spec.podRef, tools)
      return true
    case 'Storing':
      if (status.nodeName !== tools.node) return false
      refuseWithoutMemory(checkpoint)
      await store(checkpoint, tools)
      return true
    case 'Dumped':
      // It stays until the controller stores or deletes it, which it does once the Migration has ended.
      if (status.nodeName === tools.node && status.frozen === true) await endFreeze(checkpoint, tools)
      return false
    case 'Ready':
    case 'Failed':
      if (status.nodeName !== tools.node) return false
      // Not before the status names what is stored: until then the archive is all there is.
      if (spec.keepArchive !== true || status.phase === 'Failed') await tools.archives.remove(checkpoint.uid)
      if (status.phase === 'Failed') await undo(checkpoint, tools)
      else if (status.frozen === true) await endFreeze(checkpoint, tools)
      if (status.phase === 'Ready') await verifyAsked(checkpoint, tools)
      return false
  }
}

/** Throws CheckpointError CHECKPOINT_FAILED. */
function refuseWithoutMemory({name, spec}: Named): void {
  if (spec.transfer?.lazy === true)
    throw new CheckpointError(
      'CHECKPOINT_FAILED',
      `checkpoint ${name} contains no memory and cannot be stored: its move had memoryPolicy Lazy`,
    )
}

/** One that is open, or that this agent began and could not finish. */
const isToImport = (
  {phase = 'Pending', nodeName}: CheckpointStatus,
  tools: Pick<AgentTools, 'node'>,
): boolean => phase === 'Pending' || (phase === 'Storing' && nodeName === tools.node)

/** Writes what follows `phase`; false: the Checkpoint is gone, or somebody else ended it. */
const leavePhase = (
  checkpoint: Named,
  phase: CheckpointStatus['phase'],
  next: object,
  tools: Pick<AgentTools, 'kube' | 'now' | 'signal'>,
): Promise<boolean> =>
  writeOwn(
    checkpoint,
    next,
    tools,
    (now) => now.phase === phase && now.nodeName === checkpoint.status?.nodeName,
  )

/**
 * Takes a Checkpoint that the controller has given to this node, with the pod as it is. Another node's, one that is
 * given to none yet, or whose pod has become another, is left alone: the controller writes when it sees that.
 */
async function claim(
  checkpoint: Named,
  wanted: {name: string},
  tools: Pick<AgentTools, 'kube' | 'node' | 'now' | 'nodeFeatures'>,
): Promise<boolean> {
  const {nodeName, podUID, podTemplate} = checkpoint.status ?? {}
  if (nodeName !== tools.node || podTemplate === undefined) return false
  const pod = await podOf(checkpoint.namespace, wanted.name, tools)
  if (pod?.metadata.uid !== podUID || pod === undefined || !isOfTemplate(pod, podTemplate)) return false
  // The controller says whether the pod would be taken again, or ends the Checkpoint.
  if (checkpoint.spec.podPolicy === 'Delete' && checkpoint.status?.admitted !== true) return false
  const status: CheckpointStatus = {
    phase: 'Dumping',
    startTime: new Date(tools.now()).toISOString(),
    message: `dumping the memory of pod ${wanted.name}`,
    nodeFeatures: await tools.nodeFeatures(),
  }
  const next = withPhaseConditions({...checkpoint, kind: 'Checkpoint'}, status, tools.now())
  return writeUnlessConflict(checkpoint, checkpoint.metadata.resourceVersion, next, tools)
}

async function dump(
  checkpoint: Named,
  wanted: {name: string; uid?: string | undefined},
  tools: DumpStepTools,
): Promise<void> {
  const {status = {}} = checkpoint
  await withPodLock(status.podUID ?? checkpoint.uid, tools, () => dumpLocked(checkpoint, wanted, tools))
}

async function dumpLocked(
  checkpoint: Named,
  wanted: {name: string; uid?: string | undefined},
  tools: DumpStepTools,
): Promise<void> {
  const {log} = tools
  const {status = {}} = checkpoint
  const pod = await podOf(checkpoint.namespace, wanted.name, tools)
  const uid = wanted.uid ?? status.podUID
  if (pod === undefined || pod.metadata.uid !== uid || pod.metadata.deletionTimestamp !== undefined) {
    throw new CheckpointError(
      'POD_NOT_FOUND',
      `pod ${checkpoint.namespace}/${wanted.name}${wanted.uid === undefined ? '' : ` with uid ${wanted.uid}`} no longer exists`,
    )
  }
  await refuseHeld(checkpoint, pod, tools)
  // An earlier attempt may have left it standing still.
  await resumePod(pod.metadata.uid, tools)
  const {podTemplate} = status
  if (podTemplate === undefined || !isOfTemplate(pod, podTemplate)) {
    // What a restore makes of it is for the controller to say.
    await leavePhase(
      checkpoint,
      'Dumping',
      {phase: 'Pending', message: `pod ${wanted.name} changed; waiting for the controller`},
      tools,
    )
    return
  }
  const dump = () =>
    dumpPod(checkpoint, checkpoint.uid, pod, tools, async (preCopy) => {
      const {rounds, copiedBytes} = preCopy
      const message = `copying memory while the pod runs: round ${rounds} of pre-copy, ${mib(copiedBytes)} copied`
      // One that cannot be written just now is no reason to begin again.
      const isWanted = await reportProgress(checkpoint, 'Dumping', {message, preCopy}, tools).catch(
        (error: unknown) => {
          if (!isTransient(error)) throw error
          return true
        },
      )
      if (!isWanted)
        throw new CheckpointError(
          'CHECKPOINT_UNKNOWN',
          `checkpoint ${checkpoint.name} was deleted or has already failed`,
        )
    })
  const dumped = await tools.dumps.during(dump).catch(async (error: unknown) => {
    await resumePod(pod.metadata.uid, tools)
    await tools.dumps.clean()
    throw error
  })
  const {containers, frozen, way} = dumped
  const bytes = containers.reduce((sum, {archiveBytes}) => sum + archiveBytes, 0)
  const startedMs = Date.parse(status.startTime ?? '')
  if (!Number.isNaN(startedMs)) tools.metrics.dumped((tools.now() - startedMs) / 1000, bytes)
  log('info', 'dumped', {checkpoint: checkpoint.name, namespace: checkpoint.namespace, bytes, frozen})
  const next: CheckpointStatus = {
    phase: 'Storing',
    containers: [...containers],
    frozen,
    ...(dumped.frozenAtMs === undefined ? {} : {freezeTime: new Date(dumped.frozenAtMs).toISOString()}),
    ...(dumped.preCopy === undefined ? {} : {preCopy: dumped.preCopy}),
    sizeBytes: bytes,
    message: `storing ${bytes} bytes${way === 'Runtime' ? ', dumped by the archive of the container runtime' : ''}`,
    ...(checkpoint.spec.transfer === undefined ? {} : await offerDump(checkpoint, [...containers], tools)),
  }
  if (await leavePhase(checkpoint, 'Dumping', next, tools)) return
  // Deleted, or given up by the controller: nobody else knows that the pod is frozen.
  await resumePod(pod.metadata.uid, tools)
  await tools.archives.remove(checkpoint.uid)
}

/** A pod that stands still for another checkpoint is not dumped: letting it go would be behind that one's back. */
async function refuseHeld(checkpoint: Named, pod: Pod, tools: Pick<AgentTools, 'kube'>): Promise<void> {
  const holder = await holderOf(pod.metadata.uid, checkpoint, tools)
  if (holder === undefined) return
  throw new PodHeldError(pod, holder)
}

class PodHeldError extends CheckpointError {
  constructor({metadata: {namespace, name}}: Pod, holder: {readonly name: string}) {
    super(
      'CHECKPOINT_FAILED',
      `pod ${namespace}/${name} is frozen for checkpoint ${holder.name}; wait until that has completed, or delete it`,
    )
  }
}

async function store(checkpoint: Named, tools: StoreTools): Promise<void> {
  const {log} = tools
  // A store that is away, or slow, is no reason to go on with what nobody wants any more.
  const unwanted = new AbortController()
  const signal = AbortSignal.any([tools.signal, unwanted.signal])
  const sealed = await sealDumped(checkpoint, {...tools, signal}, async (message) => {
    if (!(await reportProgress(checkpoint, 'Storing', {message}, tools)))
      unwanted.abort(
        new CheckpointError(
          'CHECKPOINT_UNKNOWN',
          `checkpoint ${checkpoint.name} was deleted or has already failed`,
        ),
      )
  })
  const next = {
    ...sealed,
    phase: 'Ready',
    reason: null,
    message: storedMessage(sealed),
    completionTime: new Date(tools.now()).toISOString(),
  }
  if (!(await leavePhase(checkpoint, 'Storing', next, tools))) return
  tools.metrics.checkpointed('ready')
  log('info', 'stored', {checkpoint: checkpoint.name, namespace: checkpoint.namespace, digest: sealed.digest})
}

/** Whether the Checkpoint is still wanted; a message that somebody else's write crossed is left out. */
async function reportProgress(
  checkpoint: Named,
  phase: 'Dumping' | 'Storing',
  progress: Pick<CheckpointStatus, 'message' | 'preCopy'>,
  {kube}: Pick<AgentTools, 'kube'>,
): Promise<boolean> {
  const object = await kube.get(checkpointRef(checkpoint))
  if (object === undefined) return false
  const {uid, metadata, status} = parseCheckpoint(object)
  if (uid !== checkpoint.uid || metadata.deletionTimestamp !== undefined || status?.phase !== phase)
    return false
  await writeUnlessConflict(checkpoint, metadata.resourceVersion, progress, {kube})
  return true
}

function storedMessage({location, obstacles = []}: Pick<CheckpointStatus, 'location' | 'obstacles'>): string {
  const lost = obstacles.find(({verdict}) => verdict === 'Impossible')
  return `stored in ${location ?? ''}${lost === undefined ? '' : `, but it cannot be restored: ${lost.message}`}`
}

/**
 * Says why a checkpoint fails, if it still is as it was when that was found. What it did is undone only after that: a
 * Checkpoint whose pod ran on, or whose archive is gone, must never become Ready. One that has ended stays as it ended;
 * what is left to do for it is told, and tried again: throws `error`.
 */
async function giveUp(checkpoint: Named, error: unknown, tools: GiveUpTools): Promise<void> {
  const {log, metrics, now, signal} = tools
  const {phase, podUID, frozen} = checkpoint.status ?? {}
  const message = errorMessage(error)
  const reason = error instanceof CheckpointError ? error.code : 'CHECKPOINT_FAILED'
  const about = {checkpoint: checkpoint.name, namespace: checkpoint.namespace, reason, error: message}
  if (phase === 'Dumped' || phase === 'Ready' || phase === 'Failed') {
    log('warn', 'a step after the checkpoint failed', about)
    await leavePhase(checkpoint, phase, {message: `retrying: ${message}`}, tools)
    throw error
  }
  // What stands still for another checkpoint stays so.
  const isBegun = phase === 'Dumping' || phase === 'Storing'
  const isOurs = podUID !== undefined && isBegun && !(error instanceof PodHeldError)
  const holds = isOurs && (frozen === true || (await isStopped(podUID, tools)))
  // As long as it is not told, the pod is dumped again; this can be done twice.
  if (isOurs && phase === 'Dumping' && !holds) await runPostCheckpointHook(checkpoint, tools)
  const next = {
    ...{phase: 'Failed', reason, message, frozen: holds},
    completionTime: new Date(now()).toISOString(),
    ...(error instanceof TargetRefusal ? {refusedByNodeName: error.nodeName} : {}),
  }
  const written = await leavePhase(checkpoint, phase, next, tools).catch(async (refusal: unknown) => {
    signal.throwIfAborted()
    // Nobody will hear of it. Without its archive it can never be Ready, and its pod need not wait.
    log('error', 'could not write the failure to the status of a checkpoint', {
      ...about,
      refusal: String(refusal),
    })
    await tools.archives.remove(checkpoint.uid)
    if (holds) await resumeUnlessHeld(podUID, checkpoint, tools)
    throw refusal
  })
  if (!written) return
  metrics.checkpointed('failed')
  log('warn', 'checkpoint failed', about)
}
