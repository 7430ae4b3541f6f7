import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import type {ApplyOptions} from './apply.ts'
import {deleteObject, hangingOf} from './deletion.ts'
import {deleteHistory, revisionsOf} from './history.ts'
import {APPLYSET, CREATED_ONCE_LABEL, applySetId, inventoryRef, keyOf} from './identity.ts'
import {isRemovable, membersOf, readInventory} from './inventory.ts'
import {REMOVE_VERBS, permitted} from './refusals.ts'
import {definedKinds, definitionOf, inOrder, isDefinition} from './stages.ts'
import {withLock} from './lock.ts'
import type {ReleaseName} from './types.ts'

export interface RemoveOptions extends ApplyOptions {
  /** So long an object may take to go. Default: two minutes. */
  readonly timeoutMs?: number
}

const GONE_TIMEOUT_MS = 120_000

/**
 * Removes a release in the opposite order: its custom resources before their definitions, its namespaces last, and only
 * those that it created and that nothing else is in. Run again, it goes on. Throws PlatformError RELEASE_UNKNOWN,
 * RELEASE_LOCKED, PERMISSION_MISSING, and RELEASE_NOT_READY with what does not go.
 */
export async function removeRelease(
  kube: KubeClient,
  name: ReleaseName,
  options: RemoveOptions,
): Promise<void> {
  const known = async (): Promise<boolean> =>
    (await readInventory(kube, name)) !== undefined || (await revisionsOf(kube, name)).length > 0
  if (!(await permitted(kube, inventoryRef(name), ['get', 'list'], known)))
    throw new PlatformError('RELEASE_UNKNOWN', `${name.owner} ${name.name} is not installed`)
  await withLock(kube, name, options, (signal) => removeLocked(kube, name, {...options, signal}))
}

async function removeLocked(kube: KubeClient, name: ReleaseName, options: RemoveOptions): Promise<void> {
  const {signal, progress, timeoutMs = GONE_TIMEOUT_MS} = options
  const own = await objectsOf(kube, name)
  const resources = await customResources(kube, own)
  const all = [...new Map([...own, ...resources].map((object) => [keyOf(refOf(object)), object])).values()]
  for (const group of inOrder(all, definedKinds(own)).toReversed()) {
    const left = await withoutUsedNamespaces(kube, group, name, progress)
    if (left.length === 0) continue
    progress(`removing ${left.map((object) => describeRef(refOf(object))).join(', ')}`)
    await Promise.all(left.map((object) => deleteObject(kube, object)))
    const hanging = await hangingOf(kube, left, {signal, timeoutMs})
    if (hanging.length > 0)
      throw new PlatformError(
        'RELEASE_NOT_READY',
        `${name.owner} ${name.name} is not removed: ${hanging.map(({object, why}) => `${describeRef(refOf(object))} is still there, ${why}`).join('; ')}`,
        {suggestions: ['remove what holds it, then run the same command again']},
      )
  }
  await deleteHistory(kube, name)
  await permitted(kube, inventoryRef(name), REMOVE_VERBS, () => kube.delete(inventoryRef(name)))
}

/** What bears the labels of the release, and belongs to it. */
async function objectsOf(kube: KubeReader, name: ReleaseName): Promise<readonly KubeObject[]> {
  const {objects = [], createdOnce = []} = (await readInventory(kube, name)) ?? {}
  const members = async (refs: readonly ObjectRef[], label: string): Promise<readonly KubeObject[]> => [
    ...(await membersOf(kube, name, refs, label)).values(),
  ]
  const found = await Promise.all([
    members(objects, APPLYSET.partOf),
    members(createdOnce, CREATED_ONCE_LABEL),
  ])
  return found.flat().filter((object) => isRemovable(object, name))
}

/** The objects of the kinds that the release defines go with the definitions: first, while their controllers run. */
async function customResources(kube: KubeReader, own: readonly KubeObject[]): Promise<readonly KubeObject[]> {
  const lists = await Promise.all(
    own.filter(isDefinition).map(async (definition) => {
      const {group, names, versions} = definitionOf(definition)
      const served = versions.find((version) => version.served !== false)
      if (served === undefined) return []
      return kube.list({apiVersion: `${group}/${served.name}`, kind: names.kind})
    }),
  )
  return lists.flat()
}

/** What every namespace holds without anybody's doing. */
const ALWAYS_THERE = new Set(['ConfigMap kube-root-ca.crt', 'ServiceAccount default'])
const IN_NAMESPACES = [
  ['v1', 'Pod'],
  ['v1', 'Service'],
  ['v1', 'ConfigMap'],
  ['v1', 'Secret'],
  ['v1', 'ServiceAccount'],
  ['v1', 'PersistentVolumeClaim'],
  ['apps/v1', 'Deployment'],
  ['apps/v1', 'StatefulSet'],
  ['apps/v1', 'DaemonSet'],
  ['batch/v1', 'Job'],
  ['batch/v1', 'CronJob'],
] as const

async function withoutUsedNamespaces(
  kube: KubeReader,
  group: readonly KubeObject[],
  name: ReleaseName,
  progress: (text: string) => void,
): Promise<readonly KubeObject[]> {
  const kept = await Promise.all(
    group.map(async (object) => {
      if (object.kind !== 'Namespace') return [object]
      const other = await foreignIn(kube, object.metadata.name, name)
      if (other === undefined) return [object]
      progress(`Namespace ${object.metadata.name} stays: ${describeRef(refOf(other))} is in it`)
      return []
    }),
  )
  return kept.flat()
}

/** An object in a namespace that is not of the release. */
async function foreignIn(
  kube: KubeReader,
  namespace: string,
  name: ReleaseName,
): Promise<KubeObject | undefined> {
  const lists = await Promise.all(
    IN_NAMESPACES.map(([apiVersion, kind]) => kube.list({apiVersion, kind, namespace})),
  )
  return lists.flat().find(({kind, metadata}) => {
    const {labels = {}, ownerReferences, deletionTimestamp} = metadata
    const isOwn =
      labels[APPLYSET.partOf] === applySetId(name) || labels[CREATED_ONCE_LABEL] === applySetId(name)
    const isOwned = Array.isArray(ownerReferences) && ownerReferences.length > 0
    return (
      !isOwn && !isOwned && deletionTimestamp === undefined && !ALWAYS_THERE.has(`${kind} ${metadata.name}`)
    )
  })
}
