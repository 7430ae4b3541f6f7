import {z} from 'zod'
import {jsonOf} from '../../base/json.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {
  APPLYSET,
  CREATED_BY_ANNOTATION,
  CREATED_ONCE_LABEL,
  ENGINE_FIELD_MANAGER,
  applySetId,
  groupOf,
  inventoryRef,
  keyOf,
  ownerLabels,
} from './identity.ts'
import type {Release, ReleaseName} from './types.ts'

/** What a release may have in the cluster: written before the first object is applied, and after the last one is pruned. */
export interface Inventory {
  readonly objects: readonly ObjectRef[]
  readonly createdOnce: readonly ObjectRef[]
}

const refsSchema = z
  .array(
    z.object({
      apiVersion: z.string(),
      kind: z.string(),
      name: z.string(),
      namespace: z.string().exactOptional(),
    }),
  )
  .catch([])
const dataSchema = z.looseObject({
  data: z.looseObject({objects: z.string().default('[]'), createdOnce: z.string().default('[]')}).default({
    objects: '[]',
    createdOnce: '[]',
  }),
})

/** Undefined: there is none, the release is not installed. */
export async function readInventory(kube: KubeReader, name: ReleaseName): Promise<Inventory | undefined> {
  const object = await kube.get(inventoryRef(name))
  if (object === undefined) return undefined
  const {data} = dataSchema.parse(object)
  return {
    objects: refsSchema.parse(jsonOf(data.objects)),
    createdOnce: refsSchema.parse(jsonOf(data.createdOnce)),
  }
}

export const inventoryOf = ({objects, createdOnce = []}: Release): Inventory => ({
  objects: objects.map(refOf),
  createdOnce: createdOnce.map(refOf),
})

/** Of two refs to the same object the later one, as its version is the newer one. */
export const union = (...refs: readonly (readonly ObjectRef[])[]): readonly ObjectRef[] => [
  ...new Map(refs.flat().map((ref) => [keyOf(ref), ref])).values(),
]

export async function writeInventory(
  kube: KubeClient,
  name: ReleaseName,
  {objects, createdOnce}: Inventory,
  signal: AbortSignal,
): Promise<void> {
  const {namespace, ...parent} = inventoryRef(name)
  const kinds = new Set(
    objects.map((ref) => [ref.kind, groupOf(ref)].filter((part) => part !== '').join('.')),
  )
  const others = new Set(objects.map((ref) => ref.namespace ?? namespace))
  others.delete(namespace)
  const inventory: KubeObject = {
    apiVersion: parent.apiVersion,
    kind: parent.kind,
    metadata: {
      name: parent.name,
      namespace,
      labels: {...ownerLabels(name), [APPLYSET.id]: applySetId(name)},
      annotations: {
        [APPLYSET.tooling]: 'clouder/v1',
        [APPLYSET.groupKinds]: [...kinds].toSorted().join(','),
        [APPLYSET.namespaces]: [...others].toSorted().join(','),
      },
    },
    data: {objects: JSON.stringify(objects), createdOnce: JSON.stringify(createdOnce)},
  }
  await kube.applyAs(ENGINE_FIELD_MANAGER, inventory, signal)
}

/** The objects in the cluster that bear the label of the release, by key: one request for each kind. */
export async function membersOf(
  kube: KubeReader,
  name: ReleaseName,
  refs: readonly ObjectRef[],
  label: string = APPLYSET.partOf,
): Promise<ReadonlyMap<string, KubeObject>> {
  const kinds = new Map(
    refs.map(({apiVersion, kind}) => [`${kind}.${groupOf({apiVersion})}`, {apiVersion, kind}]),
  )
  const labelSelector = `${label}=${applySetId(name)}`
  const lists = await Promise.all([...kinds.values()].map((kind) => kube.list({...kind, labelSelector})))
  return new Map(lists.flat().map((object) => [keyOf(refOf(object)), object]))
}

/** The objects as they are applied: labelled as parts of the release, and Secrets without the form that is only written. */
export function asMembers(release: Release, live: ReadonlyMap<string, KubeObject>): readonly KubeObject[] {
  const labels = {...ownerLabels(release), [APPLYSET.partOf]: applySetId(release)}
  return release.objects.map((object) => {
    const {metadata, ...rest} = encoded(object)
    return {
      ...rest,
      metadata: {
        ...metadata,
        labels: {...metadata.labels, ...labels},
        ...createdBy(object, release, live.get(keyOf(refOf(object)))),
      },
    }
  })
}

export function asCreatedOnce(release: Release): readonly KubeObject[] {
  const labels = {...ownerLabels(release), [CREATED_ONCE_LABEL]: applySetId(release)}
  return (release.createdOnce ?? []).map((object) => {
    const {metadata, ...rest} = encoded(object)
    return {...rest, metadata: {...metadata, labels: {...metadata.labels, ...labels}}}
  })
}

/** A namespace that is there already belongs to whoever made it: it is not removed with the release. */
function createdBy(
  {kind, metadata: {annotations}}: KubeObject,
  name: ReleaseName,
  live: KubeObject | undefined,
): {readonly annotations?: Readonly<Record<string, string>>} {
  if (kind !== 'Namespace') return {}
  const id = applySetId(name)
  const isOurs = live === undefined || live.metadata.annotations?.[CREATED_BY_ANNOTATION] === id
  return isOurs ? {annotations: {...annotations, [CREATED_BY_ANNOTATION]: id}} : {}
}

/** Whether an object goes with its release: not a namespace that it found there. */
export const isRemovable = (object: KubeObject, name: ReleaseName): boolean =>
  object.kind !== 'Namespace' || object.metadata.annotations?.[CREATED_BY_ANNOTATION] === applySetId(name)

const stringDataSchema = z.record(z.string(), z.string()).optional()
const dataOfSecretSchema = z.record(z.string(), z.string()).nullish()

function encoded(object: KubeObject): KubeObject {
  const {stringData, data, ...rest} = object
  if (object.kind !== 'Secret' || object.apiVersion !== 'v1' || stringData === undefined) return object
  const texts = Object.entries(stringDataSchema.parse(stringData) ?? {})
  const made = texts.map(([key, text]) => [key, Buffer.from(text).toString('base64')] as const)
  return {...rest, data: {...dataOfSecretSchema.parse(data), ...Object.fromEntries(made)}}
}
