import {THAW_ANNOTATION} from '../../api/names.ts'
import {hasClaims, type Pod, podOf, podRef} from '../../kubernetes/pod.ts'
import {waitFor} from '../../base/waiting.ts'
import {runHook} from './hooks.ts'
import type {Named} from './checkpoint-object.ts'
import type {AgentTools} from './tools.ts'
import {resumeUnlessHeld, type ResumeTools} from './pod-lock.ts'
import {isStopped} from './thaw.ts'
import {noteThawed} from './write-status.ts'

/** What it takes to end the standing still of a pod. */
export type LetGoTools = Pick<
  AgentTools,
  'kube' | 'cgroups' | 'exec' | 'now' | 'pageServers' | 'log' | 'signal'
>

/**
 * Ends the standing still of a pod: it is deleted if that was asked for, ended without running again if somebody
 * deleted it, thawed if somebody asked for that; otherwise it goes on standing still.
 */
export async function endFreeze(checkpoint: Named, tools: LetGoTools): Promise<void> {
  const {kube, cgroups} = tools
  const {spec, metadata} = checkpoint
  const podUID = checkpoint.status?.podUID
  if (podUID === undefined || spec.podRef === undefined) return
  const pod = await ownPod(checkpoint, tools)
  const isDeleted = pod === undefined || pod.metadata.deletionTimestamp !== undefined
  if (!isDeleted && metadata.annotations?.[THAW_ANNOTATION] === 'true') {
    await tools.pageServers.end(podUID, tools.signal)
    await cgroups.thaw(podUID)
    await runPostCheckpointHook(checkpoint, tools)
  } else if (isDeleted || spec.podPolicy === 'Delete') {
    const ref = podRef(checkpoint.namespace, spec.podRef.name)
    // It stands still, and is ended before it could go on: only its volumes have to be let go of before its name is free.
    if (!isDeleted) await kube.delete(ref, {uid: podUID, ...(hasClaims(pod) ? {} : {graceSeconds: 0})})
    await endFrozen(podUID, tools)
    // Nothing of it runs any more: whoever is to have its name need not wait until its kubelet has tidied up.
    if (pod !== undefined) await kube.delete(ref, {uid: podUID, graceSeconds: 0})
  } else {
    return
  }
  await noteThawed(checkpoint, tools)
}

/** Lets the pod of a failed checkpoint go on; one that was deleted meanwhile is ended where it stands. */
export async function undo(checkpoint: Named, tools: LetGoTools & ResumeTools): Promise<void> {
  const {podUID, frozen} = checkpoint.status ?? {}
  if (podUID === undefined || frozen !== true) return
  if (!(await endIfDeleted(checkpoint, tools))) {
    await resumeUnlessHeld(podUID, checkpoint, tools)
    await runPostCheckpointHook(checkpoint, tools)
  }
  await noteThawed(checkpoint, tools)
}

/** Ends a frozen pod that was deleted where it stands, as it must not run again; whether it was one. */
export async function endIfDeleted(checkpoint: Named, tools: LetGoTools & ResumeTools): Promise<boolean> {
  const {podUID, frozen} = checkpoint.status ?? {}
  if (podUID === undefined || frozen !== true) return false
  const pod = await ownPod(checkpoint, tools)
  const isDeleted = pod === undefined || pod.metadata.deletionTimestamp !== undefined
  if (!isDeleted || !(await isStopped(podUID, tools))) return false
  await endFrozen(podUID, tools)
  return true
}

/** What the hook before the dump held back is let go again; the pod runs on whether that succeeds or not. */
export async function runPostCheckpointHook(
  checkpoint: Named,
  tools: Pick<AgentTools, 'kube' | 'exec' | 'log' | 'signal'>,
): Promise<void> {
  const {hooks} = checkpoint.spec
  if (hooks?.postCheckpoint === undefined) return
  const pod = await ownPod(checkpoint, tools)
  if (pod === undefined) return
  await runHook('after', pod, hooks.postCheckpoint, tools).catch((error: unknown) => {
    tools.signal.throwIfAborted()
    tools.log('warn', 'hook postCheckpoint failed', {checkpoint: checkpoint.name, error: String(error)})
  })
}

/** The pod that the checkpoint was made of, if it is there. */
async function ownPod(
  {spec, status, namespace}: Named,
  tools: Pick<AgentTools, 'kube'>,
): Promise<Pod | undefined> {
  const pod = spec.podRef === undefined ? undefined : await podOf(namespace, spec.podRef.name, tools)
  return pod?.metadata.uid === status?.podUID ? pod : undefined
}

const KUBELET_NOTICES_MS = 10_000

/** Ends a deleted pod's processes, once its kubelet will not start them anew. */
async function endFrozen(
  podUID: string,
  {cgroups, signal, log}: Pick<AgentTools, 'cgroups' | 'signal' | 'log'>,
): Promise<void> {
  await waitFor({
    what: `the kubelet to end pod ${podUID}`,
    timeoutMs: KUBELET_NOTICES_MS,
    intervalMs: 50,
    signal,
    check: async () =>
      (await cgroups.isTerminating(podUID)) ? {value: true, seen: 'ending'} : {seen: 'not terminating yet'},
  }).catch((error: unknown) => {
    signal.throwIfAborted()
    // A hook of the pod's own may stand before the signal; it cannot run in a pod that stands still.
    log('info', 'the kubelet has not signalled the pod yet', {podUID, error: String(error)})
  })
  await cgroups.kill(podUID)
}
