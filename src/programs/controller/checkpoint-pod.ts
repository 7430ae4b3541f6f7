import {isDeepStrictEqual} from 'node:util'
import {podSchema} from '../../kubernetes/pod.ts'
import {podTemplateOf, templatedPodSchema} from '../../checkpoint/pod-template.ts'
import type {Checkpoint} from '../../api/resources.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {writeStatus} from '../../operator/writes.ts'
import {refTo, type ReconcileContext} from './reconcile-context.ts'

/**
 * Gives a Checkpoint that nobody has begun to the node of its pod, with what a restore would make of that: no agent is
 * believed in that. Done again as long as the pod changes. Undefined: there is nothing new to write.
 */
export async function assignPod(
  object: KubeObject,
  {spec, metadata, status = {}}: Checkpoint,
  context: Pick<ReconcileContext, 'kube' | 'now' | 'signal'>,
): Promise<KubeObject | undefined> {
  if (spec.podRef === undefined || (status.phase ?? 'Pending') !== 'Pending') return undefined
  const found = await context.kube.get(refTo('Pod', spec.podRef.name, metadata.namespace))
  if (found === undefined) return undefined
  const pod = podSchema.parse(found)
  const {uid} = pod.metadata
  if (pod.spec.nodeName === undefined || (spec.podRef.uid ?? uid) !== uid) return undefined
  const next = {
    nodeName: pod.spec.nodeName,
    podUID: uid,
    podTemplate: podTemplateOf(templatedPodSchema.parse(found)),
  }
  const {nodeName, podUID, podTemplate} = status
  if (isDeepStrictEqual({nodeName, podUID, podTemplate}, next)) return undefined
  const written = {...next, podTemplate: replacing(podTemplate, next.podTemplate)}
  return writeStatus(object, {phase: 'Pending', admitted: null, ...written}, context)
}

/** As a merge patch that leaves nothing of what was there. */
function replacing(before: unknown, next: unknown): unknown {
  if (!isRecord(before) || !isRecord(next)) return next
  const gone = Object.keys(before).filter((key) => !(key in next))
  return {
    ...Object.fromEntries(gone.map((key) => [key, null])),
    ...Object.fromEntries(Object.entries(next).map(([key, value]) => [key, replacing(before[key], value)])),
  }
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
