import {isDeepStrictEqual} from 'node:util'
import pLimit from 'p-limit'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {changeOf} from './change.ts'
import {revisionsOf} from './history.ts'
import {inventoryRef, keyOf} from './identity.ts'
import {
  asCreatedOnce,
  asMembers,
  inventoryOf,
  isRemovable,
  membersOf,
  readInventory,
  type Inventory,
} from './inventory.ts'
import {permitted} from './refusals.ts'
import {kindName} from './stages.ts'
import type {ObjectChange, Release, ReleaseName, ReleasePlan, Revision} from './types.ts'

const CONCURRENCY = 16

/**
 * What applying a release would change, object by object, and what of it would be pruned. Changes nothing. `kube`
 * undefined: there is no API server yet, and everything is created. Throws PlatformError FIELD_IMMUTABLE,
 * OBJECT_OWNED_BY_OTHER, PERMISSION_MISSING, and KubernetesError for what the server refuses.
 */
export async function planRelease(kube: KubeReader | undefined, release: Release): Promise<ReleasePlan> {
  const {objects, createdOnce = []} = release
  if (kube === undefined)
    return {release, changes: [...objects, ...createdOnce].map((object) => creation(refOf(object)))}
  const state = await stateOf(kube, release)
  const live = await liveObjects(kube, release, state)
  const limit = pLimit(CONCURRENCY)
  const context = {kube, release, installed: state.installed}
  const found = await Promise.all(
    asMembers(release, live).map((wanted) =>
      limit(() => {
        const there = live.get(keyOf(refOf(wanted)))
        return there === undefined
          ? Promise.resolve(creation(refOf(wanted)))
          : changeOf(context, wanted, there)
      }),
    ),
  )
  const changes = [
    ...found.filter((change) => change !== undefined),
    ...state.absentOnce.map(creation),
    ...state.pruned.map((ref): ObjectChange => ({ref, action: 'delete', fields: []})),
  ]
  const all = changes.length === 0 ? recordChanges(release, state) : changes
  return {release, changes: all, ...(state.installed === undefined ? {} : {installed: state.installed})}
}

const creation = (ref: ObjectRef): ObjectChange => ({ref, action: 'create', fields: []})

/** What the cluster holds of a release. */
interface State {
  readonly inventory: Inventory | undefined
  readonly installed: Revision | undefined
  readonly members: ReadonlyMap<string, KubeObject>
  readonly absentOnce: readonly ObjectRef[]
  readonly pruned: readonly ObjectRef[]
}

async function stateOf(kube: KubeReader, release: Release): Promise<State> {
  const ref = inventoryRef(release)
  const wanted = inventoryOf(release)
  const [inventory, revisions, byRelease, once] = await permitted(kube, ref, ['get', 'list'], () =>
    Promise.all([
      readInventory(kube, release),
      revisionsOf(kube, release),
      membersFor(kube, release, wanted.objects),
      Promise.all(asCreatedOnce(release).map((object) => kube.get(refOf(object)))),
    ]),
  )
  const wantedKinds = new Set(wanted.objects.map(kindName))
  const former = (inventory?.objects ?? []).filter((one) => !wantedKinds.has(kindName(one)))
  const members = new Map([...byRelease, ...(await membersFor(kube, release, former))])
  const keys = new Set([...wanted.objects, ...wanted.createdOnce].map(keyOf))
  return {
    inventory,
    installed: revisions.at(-1),
    members,
    absentOnce: wanted.createdOnce.filter((_ref, index) => once[index] === undefined),
    pruned: [...members.values()]
      .filter((object) => isRemovable(object, release))
      .map(refOf)
      .filter((one) => !keys.has(keyOf(one))),
  }
}

async function membersFor(
  kube: KubeReader,
  name: ReleaseName,
  refs: readonly ObjectRef[],
): Promise<ReadonlyMap<string, KubeObject>> {
  const kinds = [...Map.groupBy(refs, kindName).values()].flatMap(([first]) => first ?? [])
  const lists = await Promise.all(
    kinds.map(({apiVersion, kind, name: any}) =>
      permitted(kube, {apiVersion, kind, name: any}, ['list'], () =>
        membersOf(kube, name, [{apiVersion, kind, name: any}]),
      ),
    ),
  )
  return new Map(lists.flatMap((found) => [...found]))
}

/** The objects of the release as they are; what does not bear its label is looked for by name. */
async function liveObjects(
  kube: KubeReader,
  {objects}: Release,
  {members}: State,
): Promise<ReadonlyMap<string, KubeObject>> {
  const limit = pLimit(CONCURRENCY)
  const found = await Promise.all(
    objects.map((object) =>
      limit(async () => {
        const ref = refOf(object)
        return members.get(keyOf(ref)) ?? permitted(kube, ref, ['get'], () => kube.get(ref))
      }),
    ),
  )
  const live = found.filter((object) => object !== undefined)
  return new Map(live.map((object) => [keyOf(refOf(object)), object]))
}

/** What the record of the release would say otherwise, where all objects are as wanted. */
function recordChanges(release: Release, {installed, inventory}: State): readonly ObjectChange[] {
  const ref = inventoryRef(release)
  if (installed === undefined || inventory === undefined) return [creation(ref)]
  const fields = [
    {path: 'version', before: installed.version, after: release.version},
    {path: 'parameters', before: installed.parameters, after: plain(release.parameters)},
    {path: 'state', before: installed.state, after: 'deployed'},
  ].filter(({before, after}) => !isDeepStrictEqual(before, after))
  return fields.length === 0 ? [] : [{ref, action: 'update', fields}]
}

/** As it is read back. */
const plain = (value: unknown): unknown =>
  value === undefined ? undefined : (JSON.parse(JSON.stringify(value)) as unknown)
