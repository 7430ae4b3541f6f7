import {refOf} from '../kubernetes/refs.ts'
import type {KubeClient, KubeObject} from '../kubernetes/types.ts'
import {ConflictError} from './writes.ts'

interface Writer {
  readonly kube: Pick<KubeClient, 'get' | 'replace'>
  /** Aborted when this program must not act any more. */
  readonly signal: AbortSignal
}

/** Adds a finalizer to an object that is still as it was read. Throws ConflictError. */
export async function addFinalizer(
  object: KubeObject,
  finalizer: string,
  {kube, signal}: Writer,
): Promise<KubeObject> {
  const {finalizers = []} = object.metadata
  if (finalizers.includes(finalizer)) return object
  signal.throwIfAborted()
  const written = await kube.replace(withFinalizers(object, [...finalizers, finalizer]))
  if (written === undefined) throw new ConflictError(`${object.kind} ${object.metadata.name} has changed`)
  return written
}

/**
 * Takes a finalizer of ours away from an object that is still as it was read; the others stay, and an object that is
 * gone is fine. Throws ConflictError.
 */
export async function removeFinalizer(
  object: KubeObject,
  finalizer: string,
  {kube, signal}: Writer,
): Promise<void> {
  const {finalizers = []} = object.metadata
  if (!finalizers.includes(finalizer)) return
  signal.throwIfAborted()
  const next = withFinalizers(
    object,
    finalizers.filter((name) => name !== finalizer),
  )
  if ((await kube.replace(next)) === undefined && (await kube.get(refOf(object))) !== undefined)
    throw new ConflictError(`${object.kind} ${object.metadata.name} has changed`)
}

const withFinalizers = (object: KubeObject, finalizers: readonly string[]): KubeObject => ({
  ...object,
  metadata: {...object.metadata, finalizers: [...finalizers]},
})
