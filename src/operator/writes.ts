import {KubernetesError} from '../kubernetes/errors.ts'
import {ConflictError} from '../kubernetes/conflict.ts'
import {refOf} from '../kubernetes/refs.ts'
import type {KubeClient, KubeObject} from '../kubernetes/types.ts'
import {withPhaseConditions} from './phase-conditions.ts'

/** Writes the status of an object that is still as it was read, with the conditions of its phase. Throws ConflictError. */
export async function writeStatus(
  object: KubeObject,
  status: object,
  {
    kube,
    now,
    signal,
  }: {readonly kube: Pick<KubeClient, 'patch'>; readonly now: () => number; readonly signal: AbortSignal},
): Promise<KubeObject> {
  signal.throwIfAborted()
  const {resourceVersion} = object.metadata
  const next = withPhaseConditions(object, status, now())
  return kube.patch(refOf(object), {status: next}, {subresource: 'status', resourceVersion})
}

/** Makes an object, or finds the one that an earlier attempt made. Throws ConflictError. */
export async function ensure(
  object: KubeObject,
  {kube, signal}: {readonly kube: Pick<KubeClient, 'create' | 'get'>; readonly signal: AbortSignal},
): Promise<KubeObject> {
  signal.throwIfAborted()
  const made = (await kube.create(object)) ?? (await kube.get(refOf(object)))
  if (made === undefined)
    throw new ConflictError(`${object.kind} ${object.metadata.name} was deleted right after it was created`)
  return made
}

/**
 * Why the API server does not take an object as it is: Pod Security, a quota, a webhook, a field. Throws what is none of
 * these. A quota may have room later, which the answer does not tell apart.
 */
export function refusalOf(error: unknown): string {
  if (error instanceof KubernetesError && error.code === 'API_REJECTED') return error.message
  throw error
}
