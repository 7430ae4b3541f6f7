import type {RestoredNote} from '../../api/handler-protocol.ts'
import {API_VERSION, MIGRATION_LABEL, RESTORE_ANNOTATION, ROLLED_BACK_ANNOTATION} from '../../api/names.ts'
import {migrationSchema} from '../../api/resources.ts'
import {errorMessage} from '../../base/errors.ts'
import {pause} from '../../base/waiting.ts'
import {podOf, type Pod} from '../../kubernetes/pod.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {moveOf} from './move-gate.ts'
import type {AgentTools} from './tools.ts'
import {writeStatusIf} from './write-status.ts'

/** A process that ends at once, because its peers are gone, does so within some milliseconds. */
const SETTLE_MS = 100
/** What is left of a pod whose other containers were never restored. */
const FORGOTTEN_MS = 10 * 60_000

type ReportTools = Pick<AgentTools, 'kube' | 'node' | 'now' | 'log' | 'signal'> & RunningTools
interface RunningTools {
  readonly cgroups: Pick<AgentTools['cgroups'], 'containers' | 'isFrozen'>
}

/** Containers of a pod that were restored: the id of each, by its name. */
interface RestoredPod {
  readonly ids: Map<string, string>
  lastMs: number
}

/**
 * Takes notes of containers that were restored, and reports to the Migration when the processes of the whole pod run:
 * up to a second before the kubelet does, which lists its containers once a second.
 */
export function runningReports(
  tools: ReportTools,
  {settleMs = SETTLE_MS}: {readonly settleMs?: number} = {},
): (note: RestoredNote) => void {
  const {now, log, signal} = tools
  const pods = new Map<string, RestoredPod>()
  const forgetOld = (): void => {
    for (const [uid, {lastMs}] of pods) if (now() - lastMs > FORGOTTEN_MS) pods.delete(uid)
  }
  const report = async ({namespace, pod: name, podUid, checkpoint}: RestoredNote): Promise<void> => {
    const pod = await podOf(namespace, name, tools)
    const restored = pods.get(podUid)
    if (pod === undefined || restored === undefined || !isMoved(pod, podUid, checkpoint, tools)) return
    if (!pod.spec.containers.every((container) => restored.ids.has(container.name))) return
    // Of two notes at the same time the second one finds nothing.
    pods.delete(podUid)
    await pause(Math.max(0, restored.lastMs + settleMs - now()), signal)
    if (!(await areRunning(podUid, [...restored.ids.values()], tools))) {
      log('warn', 'the processes of a restored pod have ended', {namespace, pod: name})
      return
    }
    const move = await moveOf(namespace, checkpoint, tools.kube)
    if (move === undefined) return
    const ref = {apiVersion: API_VERSION, kind: 'Migration', namespace, name: move.metadata.name}
    const runningTime = new Date(restored.lastMs).toISOString()
    const isOfIt = (object: KubeObject): boolean => waitsFor(object, pod, tools.node)
    if (await writeStatusIf(ref, isOfIt, {runningTime}, tools))
      log('info', 'the processes of a moved pod run', {namespace, pod: name, migration: ref.name})
  }
  return (note) => {
    forgetOld()
    const restored = pods.get(note.podUid) ?? {ids: new Map<string, string>(), lastMs: now()}
    restored.ids.set(note.container, note.id)
    restored.lastMs = now()
    pods.set(note.podUid, restored)
    report(note).catch((error: unknown) => {
      // The kubelet reports it a little later.
      if (!signal.aborted)
        log('warn', 'could not report that a pod runs', {pod: note.pod, error: errorMessage(error)})
    })
  }
}

/** Whether the pod is the one on the target of a move; one that was put back is not. */
const isMoved = (
  {metadata, spec}: Pod,
  uid: string,
  checkpoint: string,
  {node}: Pick<AgentTools, 'node'>,
): boolean =>
  metadata.uid === uid &&
  spec.nodeName === node &&
  metadata.labels[MIGRATION_LABEL] !== undefined &&
  metadata.annotations[RESTORE_ANNOTATION] === checkpoint &&
  metadata.annotations[ROLLED_BACK_ANNOTATION] !== 'true'

async function areRunning(podUid: string, ids: readonly string[], {cgroups}: RunningTools): Promise<boolean> {
  const [running, isFrozen] = await Promise.all([cgroups.containers(podUid), cgroups.isFrozen(podUid)])
  return !isFrozen && ids.every((id) => running.some((container) => container.id === id))
}

function waitsFor(object: KubeObject, {metadata}: Pod, node: string): boolean {
  const {phase, targetNodeName, newPodName, newPodUID, runningTime} =
    migrationSchema.parse(object).status ?? {}
  return (
    (phase === 'Moving' || phase === 'Verifying') &&
    targetNodeName === node &&
    newPodName === metadata.name &&
    (newPodUID === undefined || newPodUID === metadata.uid) &&
    runningTime === undefined
  )
}
