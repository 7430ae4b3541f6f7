import {isTransient} from '../../base/errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {hasRoomOnceGone} from './quotas.ts'
import {refusalOf} from '../../operator/writes.ts'
import type {ReconcileContext} from './reconcile-context.ts'

/** A webhook that does not answer decides nothing, and is not waited for any longer. */
const UNDECIDED_MS = 60_000

/**
 * Why the API server would refuse a pod; undefined: nothing is known against it. A name that is taken is found last of
 * all. `takesPlace`: the pod that has its place, and its share of a quota, goes before. Throws KubernetesError that is
 * transient.
 */
export async function refusalByDryRun(
  pod: KubeObject,
  {takesPlace, askedForMs}: {readonly takesPlace: boolean; readonly askedForMs: number},
  context: ReconcileContext,
): Promise<string | undefined> {
  try {
    context.signal.throwIfAborted()
    await context.kube.create(pod, {dryRun: true})
    return undefined
  } catch (error) {
    if (isTransient(error) && askedForMs > UNDECIDED_MS) return error.message
    const why = refusalOf(error)
    return takesPlace && (await hasRoomOnceGone(pod, why, context)) ? undefined : why
  }
}
