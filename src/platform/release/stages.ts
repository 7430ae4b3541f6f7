import {z} from 'zod'
import type {KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import {groupOf} from './identity.ts'

/** The order in which the objects of a release are applied; removed in the opposite order. */
export const STAGES = ['namespaces', 'definitions', 'objects', 'custom-resources', 'webhooks'] as const
export type Stage = (typeof STAGES)[number]

type Kinded = Pick<ObjectRef, 'apiVersion' | 'kind'>

const WEBHOOKS: ReadonlySet<string> = new Set([
  'MutatingWebhookConfiguration',
  'ValidatingWebhookConfiguration',
  'ValidatingAdmissionPolicyBinding',
  'APIService',
])

/** What others refer to comes first; kinds that are not named come between the services and the workloads. */
const KIND_ORDER: readonly string[] = [
  ...['PriorityClass', 'RuntimeClass', 'StorageClass', 'CSIDriver', 'VolumeSnapshotClass', 'IngressClass'],
  ...['ResourceQuota', 'LimitRange', 'ServiceAccount', 'ClusterRole', 'Role', 'ClusterRoleBinding'],
  ...['RoleBinding', 'NetworkPolicy', 'Secret', 'ConfigMap', 'ValidatingAdmissionPolicy', 'PersistentVolume'],
  ...['PersistentVolumeClaim', 'Service', ''],
  ...['DaemonSet', 'Deployment', 'StatefulSet', 'ReplicaSet', 'Pod', 'Job', 'CronJob'],
  ...['HorizontalPodAutoscaler', 'PodDisruptionBudget', 'Ingress'],
]
const RANKS = new Map(KIND_ORDER.map((kind, rank) => [kind, rank]))
const OTHER = RANKS.get('') ?? 0

/** Where an object stands inside of its stage. */
export const rankOf = ({kind}: Kinded): number => RANKS.get(kind) ?? OTHER

const definitionSchema = z.looseObject({
  spec: z.looseObject({
    group: z.string(),
    names: z.looseObject({kind: z.string(), plural: z.string()}),
    conversion: z.looseObject({strategy: z.string().optional()}).optional(),
    versions: z.array(z.looseObject({name: z.string(), served: z.boolean().optional()})).default([]),
  }),
})

export const isDefinition = (object: Kinded): boolean =>
  object.kind === 'CustomResourceDefinition' && groupOf(object) === 'apiextensions.k8s.io'

export const definitionOf = (object: KubeObject): z.output<typeof definitionSchema>['spec'] =>
  definitionSchema.parse(object).spec

/** `Issuer.cert-manager.io` of each definition. */
export const definedKinds = (objects: readonly KubeObject[]): ReadonlySet<string> =>
  new Set(
    objects.filter(isDefinition).map((object) => {
      const {group, names} = definitionOf(object)
      return `${names.kind}.${group}`
    }),
  )

export const kindName = (object: Kinded): string => `${object.kind}.${groupOf(object)}`

/** The stage of an object; `defined`: the kinds that its own release defines. */
export function stageOf(object: Kinded, defined: ReadonlySet<string>): Stage {
  if (object.kind === 'Namespace' && object.apiVersion === 'v1') return 'namespaces'
  if (isDefinition(object)) return 'definitions'
  if (WEBHOOKS.has(object.kind)) return 'webhooks'
  return defined.has(kindName(object)) ? 'custom-resources' : 'objects'
}

/** Groups that are applied one after the other; what is in one may be applied at the same time. */
export function inOrder<T extends Kinded>(
  items: readonly T[],
  defined: ReadonlySet<string>,
): readonly (readonly T[])[] {
  const groups = Map.groupBy(items, (item) => {
    const stage = stageOf(item, defined)
    return STAGES.indexOf(stage) * 1000 + (stage === 'objects' ? rankOf(item) : 0)
  })
  return [...groups].toSorted(([one], [two]) => one - two).map(([, group]) => group)
}

/** Whether the API server sends requests of others to a workload because of it. */
export const isServedByWorkload = ({kind}: Kinded): boolean =>
  kind.endsWith('WebhookConfiguration') || kind === 'APIService'

/** Whether a call to a custom resource may need a workload of the release itself: a webhook, or a conversion. */
export const hasWebhooks = (objects: readonly KubeObject[]): boolean =>
  objects.some(
    (object) =>
      object.kind.endsWith('WebhookConfiguration') ||
      (isDefinition(object) && definitionOf(object).conversion?.strategy === 'Webhook'),
  )
