import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import type {ApplyOptions} from './apply.ts'
import {deleteObject, hangingOf} from './deletion.ts'
import {deleteHistory, revisionsOf} from './history.ts'
import {APPLYSET, CREATED_ONCE_LABEL, inventoryRef, keyOf} from './identity.ts'
import {foreignContent} from './namespace-content.ts'
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

async function withoutUsedNamespaces(
  kube: KubeReader,
  group: readonly KubeObject[],
  name: ReleaseName,
  progress: (text: string) => void,
): Promise<readonly KubeObject[]> {
  const kept = await Promise.all(
    group.map(async (object) => {
      if (object.kind !== 'Namespace') return [object]
      const other = await foreignContent(kube, object.metadata.name, name)
      if (other === undefined) return [object]
      progress(`Namespace ${object.metadata.name} stays: ${other}`)
      return []
    }),
  )
  return kept.flat()
}
