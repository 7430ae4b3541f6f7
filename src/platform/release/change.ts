import {isDeepStrictEqual} from 'node:util'
import type {KubernetesError} from '../../kubernetes/errors.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {changesBetween, hidden, pathText, type Change} from './field-changes.ts'
import {APPLYSET, FORMER_FIELD_MANAGER, applySetId, fieldManagerOf, keyOfObject} from './identity.ts'
import {
  appliedEntry,
  isAppliedAlready,
  leavesOf,
  managedEntries,
  ownsPath,
  valueAt,
  type ManagedEntry,
} from './owned-fields.ts'
import {APPLY_VERBS, causesOf, explained, isInvalid} from './refusals.ts'
import type {FieldChange, ObjectChange, ReleaseName, Revision} from './types.ts'

/** Kinds that hold no data: to delete one and to create it again loses nothing but time. */
const REPLACEABLE: ReadonlySet<string> = new Set([
  ...['Deployment', 'DaemonSet', 'StatefulSet', 'ReplicaSet', 'Job', 'CronJob', 'Service', 'StorageClass'],
  ...['RoleBinding', 'ClusterRoleBinding', 'CSIDriver', 'PriorityClass', 'RuntimeClass', 'IngressClass'],
])

interface Context {
  readonly kube: KubeReader
  readonly release: ReleaseName
  readonly installed: Revision | undefined
}

/** How a live object differs from what is wanted; undefined: not at all. */
export async function changeOf(
  context: Context,
  wanted: KubeObject,
  live: KubeObject,
): Promise<ObjectChange | undefined> {
  const {kube, release} = context
  const ref = refOf(wanted)
  if (isShared(wanted, live, release)) return undefined
  refuseForeign(live, release)
  if (live.metadata.deletionTimestamp !== undefined) return {ref, action: 'create', fields: []}
  const manager = fieldManagerOf(release)
  const former = appliedEntry(live, FORMER_FIELD_MANAGER)
  if (former === undefined && isAppliedAlready(live, wanted, manager)) return undefined
  const outcome = await dryRun(kube, wanted, manager)
  if (!('after' in outcome)) return replacement(context, wanted, live, outcome.refusal)
  const changes = [
    ...changesBetween(live, outcome.after),
    ...(former === undefined ? [] : handedOver(live, wanted, former, manager)),
  ]
  if (changes.length === 0) return undefined
  const driftedBy = driftOf(context, wanted, live, changes)
  return {ref, action: 'update', fields: changes.map(plain), ...(driftedBy === undefined ? {} : {driftedBy})}
}

const plain = ({path, before, after}: Change): FieldChange => ({path, before, after})

type Outcome = {readonly after: KubeObject} | {readonly refusal: KubernetesError}

async function dryRun(kube: KubeReader, wanted: KubeObject, manager: string): Promise<Outcome> {
  try {
    return {after: await kube.dryRun(wanted, manager)}
  } catch (error) {
    if (isInvalid(error)) return {refusal: error}
    throw await explained(kube, error, refOf(wanted), APPLY_VERBS)
  }
}

/**
 * The server refuses to change it. Whether it would accept it as a new object, under another name, tells a field that
 * cannot change from a mistake.
 */
async function replacement(
  {kube, release}: Context,
  wanted: KubeObject,
  live: KubeObject,
  refusal: KubernetesError,
): Promise<ObjectChange> {
  const ref = refOf(wanted)
  const name = `clouder-${Date.now().toString(36)}`
  const fresh = {...wanted, metadata: {...wanted.metadata, name}}
  const asNew = await dryRun(kube, fresh, fieldManagerOf(release))
  if ('refusal' in asNew) throw refusal
  const refused = [...new Set(causesOf(refusal).map(({field}) => field))].filter((field) => field !== '')
  if (!REPLACEABLE.has(wanted.kind))
    throw new PlatformError(
      'FIELD_IMMUTABLE',
      `${describeRef(ref)} cannot be changed: ${refused.join(', ')} cannot change, and to replace the object would delete data`,
      {suggestions: [`change the field back, or move the data and delete the object yourself`]},
    )
  const after = {...asNew.after, metadata: {...asNew.after.metadata, name: ref.name}}
  const changes = changesBetween(live, after).filter(({steps: [first]}) => first !== 'metadata')
  return {ref, action: 'replace', fields: changes.map(plain)}
}

const isNamespace = ({kind, apiVersion}: KubeObject): boolean => kind === 'Namespace' && apiVersion === 'v1'

/** Whether a live object is part of another ApplySet. */
export const isOtherRelease = ({metadata: {labels}}: KubeObject, name: ReleaseName): boolean => {
  const partOf = labels?.[APPLYSET.partOf]
  return partOf !== undefined && partOf !== applySetId(name)
}

/** Several releases may be in one namespace; it belongs to the first one. */
export const isShared = (wanted: KubeObject, live: KubeObject, name: ReleaseName): boolean =>
  isNamespace(wanted) && isOtherRelease(live, name)

/** What bears no mark of clouder belongs to whoever made it. A namespace may be shared. */
function refuseForeign(live: KubeObject, name: ReleaseName): void {
  const {labels = {}, annotations = {}} = live.metadata
  if (labels[APPLYSET.partOf] === applySetId(name) || isNamespace(live)) return
  const mark = `clouder.dev/${name.owner}`
  const isMarked =
    labels['clouder.dev/addon'] !== undefined ||
    labels['clouder.dev/stack'] !== undefined ||
    [fieldManagerOf(name), FORMER_FIELD_MANAGER].some((manager) => appliedEntry(live, manager) !== undefined)
  const chart = annotations['meta.helm.sh/release-name']
  const isOfHelm = labels['app.kubernetes.io/managed-by'] === 'Helm' && chart !== undefined
  const other = isOtherRelease(live, name)
    ? `part of ${ownerOf(labels)}`
    : isOfHelm
      ? `part of the Helm release ${chart}`
      : isMarked
        ? undefined
        : 'there already, and was not created by clouder'
  if (other === undefined) return
  throw new PlatformError(
    'OBJECT_OWNED_BY_OTHER',
    `${describeRef(refOf(live))} is ${other}; ${name.owner} ${name.name} does not take it over`,
    {
      suggestions: [
        'delete it, or remove it from there, and run the command again',
        `to hand it over, set its label ${mark}=${name.name}`,
      ],
    },
  )
}

function ownerOf(labels: Readonly<Record<string, string>>): string {
  const {'clouder.dev/addon': addon, 'clouder.dev/stack': stack} = labels
  if (addon !== undefined) return `addon ${addon}`
  return stack === undefined ? `the ApplySet ${labels[APPLYSET.partOf] ?? ''}` : `stack ${stack}`
}

/** Fields that only an older clouder applied go when its ownership ends. */
function handedOver(
  live: KubeObject,
  wanted: KubeObject,
  former: ManagedEntry,
  manager: string,
): readonly Change[] {
  const others = managedEntries(live).filter(
    (entry) => entry.manager !== former.manager && entry.manager !== manager,
  )
  const gone = leavesOf(former.fieldsV1 ?? {}).filter(
    (path) => valueAt(wanted, path) === undefined && !others.some((entry) => ownsPath(entry, path)),
  )
  const changes = gone.map((steps): Change => ({
    steps,
    path: pathText(steps),
    before: valueAt(live, steps),
    after: undefined,
  }))
  if (changes.length > 0) return live.kind === 'Secret' ? changes.map(hidden) : changes
  const steps = ['metadata', 'managedFields']
  return [{steps, path: pathText(steps), before: FORMER_FIELD_MANAGER, after: manager}]
}

/** The field manager that changed a field since the release was applied. */
function driftOf(
  {release, installed}: Context,
  wanted: KubeObject,
  live: KubeObject,
  changes: readonly Change[],
): string | undefined {
  if (live.metadata.labels?.[APPLYSET.partOf] !== applySetId(release)) return undefined
  const own = new Set([fieldManagerOf(release), FORMER_FIELD_MANAGER])
  const others = managedEntries(live).filter(({manager = ''}) => !own.has(manager))
  const changed = others.find((entry) =>
    changes.some(({steps, before}) => before !== undefined && ownsPath(entry, steps)),
  )
  if (changed !== undefined) return changed.manager
  // A field that was taken away has no owner: whoever wrote last, where the release itself did not change the object.
  const before = installed?.objects.find((object) => keyOfObject(object) === keyOfObject(wanted))
  const isSame = before !== undefined && changes.every(({steps}) => isSameAt(before, wanted, steps))
  if (!isSame) return undefined
  const newest = others.toSorted((one, two) => ((one.time ?? '') < (two.time ?? '') ? 1 : -1))
  return newest[0]?.manager
}

const isSameAt = (one: KubeObject, two: KubeObject, steps: Change['steps']): boolean =>
  valueAt(one, steps) !== undefined && isDeepStrictEqual(valueAt(one, steps), valueAt(two, steps))
