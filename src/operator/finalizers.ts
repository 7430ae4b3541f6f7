import {ConflictError} from '../kubernetes/conflict.ts'
import {refOf} from '../kubernetes/refs.ts'
import type {KubeClient, KubeObject} from '../kubernetes/types.ts'

interface Writer {
  readonly kube: Pick<KubeClient, 'get' | 'patch'>
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
  return write(object, [...finalizers, finalizer], kube)
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
  const others = finalizers.filter((name) => name !== finalizer)
  try {
    await write(object, others, kube)
  } catch (error) {
    if (!(error instanceof ConflictError) || (await kube.get(refOf(object))) !== undefined) throw error
  }
}

/** The list is written whole; the rest of the object is left alone, as what was read may be a part of it. */
const write = (
  object: KubeObject,
  finalizers: readonly string[],
  kube: Writer['kube'],
): Promise<KubeObject> =>
  kube.patch(refOf(object), {metadata: {finalizers}}, {resourceVersion: object.metadata.resourceVersion})
