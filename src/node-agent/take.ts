import {THAW_ANNOTATION} from '../checkpoint/names.ts'
import {hasClaims} from '../checkpoint/pod.ts'
import type {CheckpointStatus} from '../checkpoint/resources.ts'
import {CheckpointError, isTransient} from '../errors.ts'
import {waitFor} from '../waiting.ts'
import {dumpPod, runHook} from './dump.ts'
import {importCheckpoint} from './import.ts'
import {checkpointRef, parseCheckpoint, type CheckpointName, type Named} from './named.ts'
import {parsePod, podRef, type Pod} from './pods.ts'
import {removeCheckpoint} from './remove.ts'
import {sealDumped} from './seal.ts'
import type {AgentTools} from './tools.ts'
import {holderOf, inTurn, letPodGoOn} from './turns.ts'
import {verifyAsked} from './verify.ts'
import {wakePod} from './wake.ts'
import {writeStatusIf} from './write-status.ts'

/**
 * Brings a Checkpoint to its end, from whatever its status says was reached: claims it if its pod is on this node,
 * dumps, seals, and lets go of the pod. Each step is written to the status before the next, and may be done twice.
 * Throws KubernetesError that is transient, to be tried again; what fails otherwise is in the status.
 */
export async function takeCheckpoint(name: CheckpointName, tools: AgentTools): Promise<void> {
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
    const goesOn = await oneStep(checkpoint, tools).catch(async (error: unknown) => {
      if (tools.signal.aborted || isTransient(error)) throw error
      await giveUp(checkpoint, error, tools)
      return false
    })
    if (!goesOn) return
  }
}

/** What a Checkpoint that is gone leaves behind: nothing, and its pod goes on. */
export async function abandon(checkpoint: Named, tools: AgentTools): Promise<void> {
  const {uid, status} = checkpoint
  if (status?.node !== tools.node) return
  const isOver = status.phase === 'Ready' || status.phase === 'Failed'
  if (status.podUid !== undefined && (!isOver || status.frozen === true))
    await letPodGoOn(status.podUid, checkpoint, tools)
  await tools.archives.remove(uid)
}

/** Whether there is a next step. */
async function oneStep(checkpoint: Named, tools: AgentTools): Promise<boolean> {
  const {spec, status = {}, metadata} = checkpoint
  if (metadata.deletionTimestamp !== undefined) {
    if (status.node === tools.node) await removeCheckpoint(checkpoint, tools)
    return false
  }
  if (spec.import !== undefined && isToImport(status, tools)) {
    await importCheckpoint(checkpoint, spec.import.digest, tools)
    return false
  }
  if (spec.pod === undefined) return false
  switch (status.phase) {
    case undefined:
    case 'Pending':
      return claim(checkpoint, spec.pod, tools)
    case 'Dumping':
      if (status.node !== tools.node) return false
      await dump(checkpoint, spec.pod, tools)
      return true
    case 'Storing':
      if (status.node !== tools.node) return false
      await store(checkpoint, tools)
      return true
    case 'Ready':
    case 'Failed':
      if (status.node !== tools.node) return false
      // Not before the status names what is stored: until then the archive is all there is.
      if (spec.keepArchive !== true) await tools.archives.remove(checkpoint.uid)
      if (status.frozen === true) await letGo(checkpoint, tools)
      if (status.phase === 'Ready') await verifyAsked(checkpoint, tools)
      return false
  }
}

/** One that is open, or that this agent began and could not finish. */
const isToImport = ({phase = 'Pending', node}: CheckpointStatus, tools: AgentTools): boolean =>
  phase === 'Pending' || (phase === 'Storing' && node === tools.node)

/** Writes what follows `phase`; false: the Checkpoint is gone, or somebody else ended it. */
const leavePhase = (
  checkpoint: Named,
  phase: CheckpointStatus['phase'],
  next: object,
  tools: AgentTools,
): Promise<boolean> =>
  writeStatusIf(
    checkpointRef(checkpoint),
    (object) => {
      const now = parseCheckpoint(object)
      return now.uid === checkpoint.uid && now.status?.phase === phase
    },
    next,
    tools,
  )

/** Takes a Checkpoint of a pod of this node; another agent's, or one without a pod, is left alone. */
async function claim(
  checkpoint: Named,
  wanted: {name: string; uid?: string | undefined},
  tools: AgentTools,
): Promise<boolean> {
  const pod = await podOf(checkpoint.namespace, wanted.name, tools)
  if (pod?.spec.nodeName !== tools.node) return false
  const status: CheckpointStatus = {
    phase: 'Dumping',
    node: tools.node,
    podUid: pod.metadata.uid,
    startedAt: new Date(tools.now()).toISOString(),
    message: `taking the memory of ${wanted.name}`,
    source: await tools.abilities(),
  }
  const {resourceVersion} = checkpoint.metadata
  const guard = resourceVersion === undefined ? {} : {resourceVersion}
  return (await tools.kube.patchStatus(checkpointRef(checkpoint), status, guard)) !== undefined
}

async function dump(
  checkpoint: Named,
  wanted: {name: string; uid?: string | undefined},
  tools: AgentTools,
): Promise<void> {
  const {status = {}} = checkpoint
  await inTurn(status.podUid ?? checkpoint.uid, tools, () => dumpInTurn(checkpoint, wanted, tools))
}

async function dumpInTurn(
  checkpoint: Named,
  wanted: {name: string; uid?: string | undefined},
  tools: AgentTools,
): Promise<void> {
  const {log} = tools
  const {status = {}} = checkpoint
  const pod = await podOf(checkpoint.namespace, wanted.name, tools)
  const uid = wanted.uid ?? status.podUid
  if (pod === undefined || pod.metadata.uid !== uid || pod.metadata.deletionTimestamp !== undefined) {
    throw new CheckpointError(
      'POD_NOT_FOUND',
      `pod ${checkpoint.namespace}/${wanted.name}${wanted.uid === undefined ? '' : ` with uid ${wanted.uid}`} is not there any more`,
    )
  }
  await refuseHeld(checkpoint, pod, tools)
  // An earlier attempt may have left it standing still.
  await wakePod(pod.metadata.uid, tools)
  const dump = () => dumpPod(checkpoint, checkpoint.uid, pod, tools)
  const dumped = await tools.dumps.during(dump).catch(async (error: unknown) => {
    await wakePod(pod.metadata.uid, tools)
    await tools.dumps.clean()
    throw error
  })
  const {containers, frozen, podTemplate} = dumped
  const bytes = containers.reduce((sum, {archiveBytes}) => sum + archiveBytes, 0)
  const startedMs = Date.parse(status.startedAt ?? '')
  if (!Number.isNaN(startedMs)) tools.metrics.dumped((tools.now() - startedMs) / 1000, bytes)
  log('info', 'dumped', {checkpoint: checkpoint.name, namespace: checkpoint.namespace, bytes, frozen})
  const next: CheckpointStatus = {
    phase: 'Storing',
    containers: [...containers],
    frozen,
    podTemplate,
    sizeBytes: bytes,
    message: `storing ${bytes} bytes`,
  }
  if (await leavePhase(checkpoint, 'Dumping', next, tools)) return
  // Deleted, or given up by the controller: nobody else knows that the pod is frozen.
  await wakePod(pod.metadata.uid, tools)
  await tools.archives.remove(checkpoint.uid)
}

/** A pod that stands still for another checkpoint is not dumped: letting it go would be behind that one's back. */
async function refuseHeld(checkpoint: Named, pod: Pod, tools: AgentTools): Promise<void> {
  const holder = await holderOf(pod.metadata.uid, checkpoint, tools)
  if (holder === undefined) return
  throw new PodHeldError(pod, holder)
}

class PodHeldError extends CheckpointError {
  constructor({metadata: {namespace, name}}: Pod, holder: {readonly name: string}) {
    super('CHECKPOINT_FAILED', `pod ${namespace}/${name} stands still for checkpoint ${holder.name}`)
  }
}

async function store(checkpoint: Named, tools: AgentTools): Promise<void> {
  const {kube, log} = tools
  // A store that is away, or slow, is no reason to go on with what nobody wants any more.
  const unwanted = new AbortController()
  const signal = AbortSignal.any([tools.signal, unwanted.signal])
  const sealed = await sealDumped(checkpoint, {...tools, signal}, async (message) => {
    const now = await kube.patchStatus(checkpointRef(checkpoint), {message})
    if (now === undefined || now.metadata.deletionTimestamp !== undefined)
      unwanted.abort(new CheckpointError('CHECKPOINT_UNKNOWN', `checkpoint ${checkpoint.name} was deleted`))
  })
  const next = {
    ...sealed,
    phase: 'Ready',
    reason: null,
    message: storedMessage(sealed),
    finishedAt: new Date(tools.now()).toISOString(),
  }
  tools.metrics.checkpointed('ready')
  log('info', 'stored', {checkpoint: checkpoint.name, namespace: checkpoint.namespace, digest: sealed.digest})
  await leavePhase(checkpoint, 'Storing', next, tools)
}

function storedMessage({place, obstacles = []}: Pick<CheckpointStatus, 'place' | 'obstacles'>): string {
  const lost = obstacles.find(({verdict}) => verdict === 'impossible')
  return `stored in ${place ?? ''}${lost === undefined ? '' : `, but it cannot be restored: ${lost.message}`}`
}

/** Undoes what stands in the way of the pod, and says why. */
async function giveUp(checkpoint: Named, error: unknown, tools: AgentTools): Promise<void> {
  const {kube, archives, log} = tools
  const message = error instanceof Error ? error.message : String(error)
  const reason = error instanceof CheckpointError ? error.code : 'CHECKPOINT_FAILED'
  tools.metrics.checkpointed('failed')
  log('warn', 'checkpoint failed', {
    checkpoint: checkpoint.name,
    namespace: checkpoint.namespace,
    reason,
    error: message,
  })
  const {podUid} = checkpoint.status ?? {}
  // What stands still for another checkpoint stays so.
  if (podUid !== undefined && !(error instanceof PodHeldError)) {
    await letPodGoOn(podUid, checkpoint, tools)
    await afterFailure(checkpoint, podUid, tools)
  }
  await archives.remove(checkpoint.uid)
  await kube.patchStatus(checkpointRef(checkpoint), {
    phase: 'Failed',
    reason,
    message,
    frozen: false,
    finishedAt: new Date(tools.now()).toISOString(),
  })
}

/** What the hook before the dump held back is let go again. */
async function afterFailure(checkpoint: Named, podUid: string, tools: AgentTools): Promise<void> {
  const {hooks, pod: wanted} = checkpoint.spec
  if (hooks?.after === undefined || wanted === undefined) return
  const pod = await podOf(checkpoint.namespace, wanted.name, tools)
  if (pod?.metadata.uid !== podUid) return
  await runHook('after', pod, hooks.after, tools).catch((error: unknown) => {
    tools.log('warn', 'hook failed', {checkpoint: checkpoint.name, error: String(error)})
  })
}

/**
 * Ends the standing still of a pod: it is deleted if that was asked for, ended without running again if somebody
 * deleted it, thawed if somebody asked for that; otherwise it goes on standing still.
 */
async function letGo(checkpoint: Named, tools: AgentTools): Promise<void> {
  const {kube, cgroups} = tools
  const {spec, status = {}, metadata} = checkpoint
  const {podUid} = status
  if (podUid === undefined || spec.pod === undefined) return
  const found = await podOf(checkpoint.namespace, spec.pod.name, tools)
  const pod = found?.metadata.uid === podUid ? found : undefined
  const isDeleted = pod === undefined || pod.metadata.deletionTimestamp !== undefined
  if (!isDeleted && metadata.annotations?.[THAW_ANNOTATION] === 'true') {
    await cgroups.thaw(podUid)
    const {hooks} = spec
    if (hooks?.after !== undefined) await runHook('after', pod, hooks.after, tools)
  } else if (isDeleted || (spec.after === 'delete' && status.phase === 'Ready')) {
    const ref = podRef(checkpoint.namespace, spec.pod.name)
    // It stands still, and is ended before it could go on: only its volumes have to be let go of before its name is free.
    if (!isDeleted) await kube.delete(ref, {uid: podUid, ...(hasClaims(pod) ? {} : {graceSeconds: 0})})
    await endFrozen(podUid, tools)
    // Nothing of it runs any more: whoever is to have its name need not wait until its kubelet has tidied up.
    if (pod !== undefined) await kube.delete(ref, {uid: podUid, graceSeconds: 0})
  } else {
    return
  }
  await kube.patchStatus(checkpointRef(checkpoint), {frozen: false})
}

const KUBELET_NOTICES_MS = 10_000

/** Ends a deleted pod's processes, once its kubelet will not start them anew. */
export async function endFrozen(podUid: string, {cgroups, signal, log}: AgentTools): Promise<void> {
  await waitFor({
    what: `the kubelet to end pod ${podUid}`,
    timeoutMs: KUBELET_NOTICES_MS,
    intervalMs: 50,
    signal,
    check: async () =>
      (await cgroups.isTerminating(podUid)) ? {value: true, seen: 'ending'} : {seen: 'not ending yet'},
  }).catch((error: unknown) => {
    signal.throwIfAborted()
    // A hook of the pod's own may stand before the signal; it cannot run in a pod that stands still.
    log('info', 'the kubelet has not signalled the pod yet', {podUid, error: String(error)})
  })
  await cgroups.kill(podUid)
}

async function podOf(namespace: string, name: string, {kube}: AgentTools): Promise<Pod | undefined> {
  const object = await kube.get(podRef(namespace, name))
  return object === undefined ? undefined : parsePod(object)
}
