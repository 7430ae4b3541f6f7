import {isDeepStrictEqual} from 'node:util'
import {timeText} from '../../base/time.ts'
import {errorMessage} from '../../base/errors.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject} from '../../kubernetes/types.ts'
import {applyStages} from './apply-stages.ts'
import {deleteObject, hangingOf} from './deletion.ts'
import {revisionsOf, trimHistory, withoutSecrets, writeRevision} from './history.ts'
import {APPLYSET, applySetId, inventoryRef, keyOf} from './identity.ts'
import {inventoryOf, readInventory, union, writeInventory} from './inventory.ts'
import {withLock, type LockOptions} from './lock.ts'
import {ensureSystemNamespace} from './namespaces.ts'
import {planRelease} from './plan.ts'
import {permitted} from './refusals.ts'
import {definedKinds, inOrder} from './stages.ts'
import type {ObjectChange, ReleasePlan, Revision} from './types.ts'

/** What is pruned and has finalizers is waited for so long; it stays in the inventory. */
const PRUNE_TIMEOUT_MS = 20_000

export interface ApplyOptions extends LockOptions {
  readonly progress: (text: string) => void
  /** So long a namespace that is being deleted is waited for. Default: a minute. */
  readonly terminatingMs?: number
}

/** What decides whether a release that was applied is deployed; throws where it is not. */
export type Gate = (signal: AbortSignal) => Promise<void>

/**
 * Applies a plan and keeps it as a revision; killed at any point and run again, it finishes. Throws PlatformError
 * RELEASE_LOCKED, PERMISSION_MISSING, NAMESPACE_TERMINATING, and KubernetesError for what the server refuses.
 */
export async function applyRelease(
  kube: KubeClient,
  plan: ReleasePlan,
  options: ApplyOptions,
): Promise<Revision> {
  const {installed, changes} = plan
  if (installed !== undefined && changes.length === 0) return installed
  await ensureSystemNamespace(kube)
  return withLock(kube, plan.release, options, (signal) => applyLocked(kube, plan, {...options, signal}))
}

/** Applies a plan under the lock of its release. */
export async function applyLocked(
  kube: KubeClient,
  given: ReleasePlan,
  options: ApplyOptions,
  gate?: Gate,
): Promise<Revision> {
  const {release} = given
  const record = inventoryRef(release)
  const verbs = ['get', 'list', 'create', 'patch']
  const history = await permitted(kube, record, verbs, () => revisionsOf(kube, release))
  const newest = history.at(-1)
  // Another run was quicker than the lock.
  const isFresh = newest?.revision === given.installed?.revision && newest?.state === given.installed?.state
  const plan = isFresh ? given : await planRelease(kube, release)
  const revision: Revision = {
    ...{owner: release.owner, name: release.name, version: release.version},
    revision: newest === undefined ? 1 : newest.state === 'applying' ? newest.revision : newest.revision + 1,
    parameters: release.parameters ?? null,
    appliedAt: timeText(options.now()),
    state: 'applying',
    objects: withoutSecrets(release.objects),
  }
  if (newest === undefined || !isSameWork(newest, revision))
    await permitted(kube, record, verbs, () => writeRevision(kube, revision, options.signal))
  try {
    await applyChanges(kube, plan, options)
    await gate?.(options.signal)
  } catch (error) {
    // A run that is stopped leaves the revision as it is: it did not end.
    if (!options.signal.aborted)
      await writeRevision(
        kube,
        {...revision, state: 'failed', message: errorMessage(error)},
        options.signal,
      ).catch(() => undefined)
    throw error
  }
  const deployed: Revision = {...revision, state: 'deployed'}
  await writeRevision(kube, deployed, options.signal)
  for (const before of history)
    if (before.state === 'deployed' && before.revision !== revision.revision)
      await writeRevision(kube, {...before, state: 'superseded'}, options.signal)
  await trimHistory(kube, release)
  return deployed
}

/** Whether a run that was killed began the very same revision: what it wrote of it need not be written again. */
const isSameWork = ({appliedAt: _, ...begun}: Revision, {appliedAt: __, ...revision}: Revision): boolean =>
  isDeepStrictEqual(begun, JSON.parse(JSON.stringify(revision)))

async function applyChanges(
  kube: KubeClient,
  {release, changes}: ReleasePlan,
  options: ApplyOptions,
): Promise<void> {
  const {signal} = options
  const wanted = inventoryOf(release)
  const before = (await readInventory(kube, release)) ?? {objects: [], createdOnce: []}
  const pruned = changes.filter(({action}) => action === 'delete')
  const createdOnce = union(before.createdOnce, wanted.createdOnce)
  const all = union(
    before.objects,
    pruned.map(({ref}) => ref),
    wanted.objects,
  )
  if (!isDeepStrictEqual(before, {objects: all, createdOnce}))
    await writeInventory(kube, release, {objects: all, createdOnce}, signal)
  await applyStages(kube, release, changes, await namespacesOf(kube, release.objects), options)
  const hanging = await prune(kube, release, pruned, options)
  const left = union(wanted.objects, hanging.map(refOf))
  await writeInventory(kube, release, {objects: left, createdOnce}, signal)
}

/** The namespaces of a release that are there: whether it creates them decides whether it removes them. */
async function namespacesOf(
  kube: KubeClient,
  objects: readonly KubeObject[],
): Promise<ReadonlyMap<string, KubeObject>> {
  const refs = objects.filter(({kind}) => kind === 'Namespace').map(refOf)
  const found = await Promise.all(refs.map((ref) => kube.get(ref)))
  return new Map(found.flatMap((object) => (object === undefined ? [] : [[keyOf(refOf(object)), object]])))
}

/** Deletes what is no longer part of the release, in the opposite order; gives what does not go. */
async function prune(
  kube: KubeClient,
  release: ReleasePlan['release'],
  pruned: readonly ObjectChange[],
  {signal, progress}: ApplyOptions,
): Promise<readonly KubeObject[]> {
  const live = await Promise.all(pruned.map(({ref}) => kube.get(ref)))
  // Somebody may have taken it out of the release since it was planned.
  const own = live.filter(
    (object) => object?.metadata.labels?.[APPLYSET.partOf] === applySetId(release),
  ) as readonly KubeObject[]
  const groups = inOrder(own, definedKinds(own))
  for (const group of groups.toReversed()) {
    progress(`removing ${group.map(({kind, metadata: {name}}) => `${kind} ${name}`).join(', ')}`)
    await Promise.all(group.map((object) => deleteObject(kube, object)))
  }
  const hanging = await hangingOf(kube, own, {signal, timeoutMs: PRUNE_TIMEOUT_MS})
  for (const {object, why} of hanging)
    progress(`${object.kind} ${object.metadata.name} is not gone yet: ${why}`)
  return hanging.map(({object}) => object)
}
