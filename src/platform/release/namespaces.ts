import {z} from 'zod'
import {TimeoutError} from '../../base/errors.ts'
import {waitFor} from '../../base/waiting.ts'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import type {KubeClient, KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {permitted} from './refusals.ts'

const TERMINATING_TIMEOUT_MS = 60_000
const POLL_MS = 500

const statusSchema = z.looseObject({
  status: z
    .looseObject({
      conditions: z
        .array(z.looseObject({type: z.string(), status: z.string(), message: z.string().optional()}))
        .nullish(),
    })
    .default({}),
})

const namespaceRef = (name: string): ObjectRef => ({apiVersion: 'v1', kind: 'Namespace', name})

/** The namespace that holds the records of all releases. */
export async function ensureSystemNamespace(kube: KubeClient): Promise<void> {
  const ref = namespaceRef(SYSTEM_NAMESPACE)
  await permitted(kube, ref, ['get', 'create'], async () => {
    if ((await kube.get(ref)) === undefined)
      await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name: SYSTEM_NAMESPACE}})
  })
}

/** Waits for namespaces of objects that are being deleted. Throws PlatformError NAMESPACE_TERMINATING. */
export async function freeNamespaces(
  kube: KubeClient,
  objects: readonly KubeObject[],
  {signal, progress, terminatingMs = TERMINATING_TIMEOUT_MS}: NamespaceOptions,
): Promise<void> {
  const names = new Set(
    objects.flatMap(({kind, metadata: {name, namespace}}) =>
      kind === 'Namespace' ? name : (namespace ?? []),
    ),
  )
  await Promise.all(
    [...names].map(async (name) => {
      const ref = namespaceRef(name)
      const live = await permitted(kube, ref, ['get'], () => kube.get(ref))
      if (live?.metadata.deletionTimestamp === undefined) return
      progress(`waiting for Namespace ${name}, which is being deleted`)
      try {
        await waitFor({
          what: `Namespace ${name} to be gone`,
          check: async () => {
            const now = await kube.get(ref)
            return now !== undefined && now.metadata.uid === live.metadata.uid
              ? {seen: whatHolds(now)}
              : {value: true, seen: 'gone'}
          },
          timeoutMs: terminatingMs,
          intervalMs: POLL_MS,
          signal,
        })
      } catch (error) {
        if (!(error instanceof TimeoutError)) throw error
        throw new PlatformError(
          'NAMESPACE_TERMINATING',
          `Namespace ${name} is being deleted, which does not end: ${error.lastSeen ?? ''}`,
          {cause: error, suggestions: ['remove what holds it, then run the same command again']},
        )
      }
    }),
  )
}

export interface NamespaceOptions {
  readonly signal: AbortSignal
  readonly progress: (text: string) => void
  readonly terminatingMs?: number
}

/** What its controller says of a namespace that is being deleted. */
export function whatHolds(namespace: KubeObject): string {
  const {conditions} = statusSchema.parse(namespace).status
  const told = (conditions ?? []).filter(({status, message}) => status === 'True' && message !== undefined)
  const {finalizers = []} = namespace.metadata
  const own = finalizers.length === 0 ? [] : [`its finalizers ${finalizers.join(', ')} hold it`]
  const all = [...told.map(({message}) => message ?? ''), ...own]
  return all.length === 0 ? 'it still has content, or no controller removes it' : all.join(' ')
}
