import {TimeoutError} from '../../base/errors.ts'
import {waitFor} from '../../base/waiting.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {DeleteOptions, KubeClient, KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {REMOVE_VERBS, permitted} from './refusals.ts'

const GONE_TIMEOUT_MS = 120_000
const POLL_MS = 250

export interface DeletionOptions {
  readonly signal: AbortSignal
  readonly propagation?: DeleteOptions['propagation'] | undefined
  readonly timeoutMs?: number
}

/** Deletes the very object that was read, and waits until it is gone. */
export async function deleteAndWait(
  kube: KubeClient,
  object: KubeObject,
  options: DeletionOptions,
): Promise<void> {
  await deleteObject(kube, object, options.propagation)
  await waitGone(kube, object, options)
}

export async function deleteObject(
  kube: KubeClient,
  object: KubeObject,
  propagation?: DeleteOptions['propagation'],
): Promise<void> {
  const ref = refOf(object)
  await permitted(kube, ref, REMOVE_VERBS, () =>
    kube.delete(ref, {uid: object.metadata.uid, ...(propagation === undefined ? {} : {propagation})}),
  )
}

/** Throws TimeoutError that names what holds it. */
export async function waitGone(
  kube: KubeReader,
  object: KubeObject,
  {signal, timeoutMs = GONE_TIMEOUT_MS}: DeletionOptions,
): Promise<void> {
  const ref = refOf(object)
  await waitFor({
    what: `${describeRef(ref)} to be gone`,
    check: async () => {
      const live = await kube.get(ref)
      if (live === undefined || live.metadata.uid !== object.metadata.uid) return {value: true, seen: 'gone'}
      return {seen: heldBy(live)}
    },
    timeoutMs,
    intervalMs: POLL_MS,
    signal,
  })
}

/** What keeps an object that is being deleted. */
export function heldBy({metadata: {finalizers = []}}: KubeObject): string {
  return finalizers.length === 0 ? 'it is being deleted' : `its finalizers ${finalizers.join(', ')} hold it`
}

/** Waits for each; what does not go in time, with what holds it. */
export async function hangingOf(
  kube: KubeReader,
  objects: readonly KubeObject[],
  options: DeletionOptions,
): Promise<readonly {readonly object: KubeObject; readonly why: string}[]> {
  const waited = await Promise.all(
    objects.map(async (object) => {
      try {
        await waitGone(kube, object, options)
        return []
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error
        return [{object, why: error.lastSeen ?? 'it is being deleted'}]
      }
    }),
  )
  return waited.flat()
}
