import {z} from 'zod'
import {
  AFFINITY_ANNOTATION,
  CHECKPOINT_IMAGES_LABEL,
  MIGRATION_LABEL,
  ORIGINAL_ANNOTATION,
  RESTORE_ANNOTATION,
  RESTORE_LABEL,
  RESTORE_RUNTIME,
  ROLLED_BACK_ANNOTATION,
  RUNTIME_LABEL,
} from '../../api/names.ts'
import {originalSpecOf, originalSpecSchema, type OriginalSpec} from '../../checkpoint/original-spec.ts'
import type {Backend, CheckpointStatus} from '../../api/resources.ts'
import {kubeObjectSchema, type KubeObject} from '../../kubernetes/types.ts'

/** Labels by which a controller knows a pod as one of its own. */
const OF_CONTROLLERS = [
  'pod-template-hash',
  'controller-revision-hash',
  'statefulset.kubernetes.io/pod-name',
  'apps.kubernetes.io/pod-index',
  'batch.kubernetes.io/job-name',
  'batch.kubernetes.io/controller-uid',
  'job-name',
  'controller-uid',
]
const OURS = [MIGRATION_LABEL, RESTORE_LABEL, RUNTIME_LABEL]

const termsSchema = z.looseObject({nodeSelectorTerms: z.array(z.looseObject({}))})
const affinitySchema = z.looseObject({
  nodeAffinity: z
    .looseObject({requiredDuringSchedulingIgnoredDuringExecution: termsSchema.optional()})
    .optional(),
})
const templateSchema = z.looseObject({
  metadata: z.looseObject({
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
  }),
  spec: z.looseObject({
    affinity: affinitySchema.optional(),
    runtimeClassName: z.string().optional(),
    nodeSelector: z.record(z.string(), z.string()).optional(),
    tolerations: z.array(z.looseObject({})).optional(),
    containers: z.array(z.looseObject({name: z.string()})),
  }),
})

export interface RestoredPod {
  readonly namespace: string
  readonly name: string
  readonly template: NonNullable<CheckpointStatus['podTemplate']>
  /** Of the pod's namespace. */
  readonly checkpoint: string
  readonly backend: Backend
  /** By container; of backend CreateImage. */
  readonly images?: Readonly<Record<string, string>> | undefined
  /** Nodes that it may run on, for the scheduler to choose from; or the one that it is put on, whatever that thinks. */
  readonly nodes: readonly string[] | {readonly bound: string}
  /** Besides those of the template. */
  readonly labels: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
  readonly owners: readonly object[]
  /** Whether it takes the place of the pod that the checkpoint was made of, also for the controller of that one. */
  readonly takesPlace: boolean
}

type Template = z.output<typeof templateSchema>
type Affinity = z.output<typeof affinitySchema>

/** What a template asks of nodes, without what an earlier restore added. */
export function ownSpec(template: unknown): Template['spec'] {
  const {metadata, spec} = templateSchema.parse(template)
  const {affinity, ...bound} = spec
  const own = ownAffinity(metadata.annotations, affinity)
  const kept = originalSpecOf({metadata, spec})
  const rest = kept === undefined ? bound : unpooled(bound, kept)
  return own === undefined ? rest : {...rest, affinity: own}
}

/** Without what let it onto the nodes for images of checkpoints. */
function unpooled(spec: Template['spec'], {nodeSelector, tolerations}: OriginalSpec): Template['spec'] {
  return {...spec, nodeSelector: nodeSelector ?? {}, tolerations: [...(tolerations ?? [])]}
}

function ownAffinity(
  annotations: Readonly<Record<string, string>>,
  affinity: Affinity | undefined,
): Affinity | undefined {
  const kept = annotations[AFFINITY_ANNOTATION]
  return kept === undefined ? affinity : (affinitySchema.nullable().parse(JSON.parse(kept)) ?? undefined)
}

/** The pod to make, which goes on from a checkpoint. */
export function restoredPod(wanted: RestoredPod): KubeObject {
  const {metadata, spec} = templateSchema.parse(wanted.template)
  const original = ownAffinity(metadata.annotations, spec.affinity)
  // Of an earlier restore: they say nothing of this one.
  const {[AFFINITY_ANNOTATION]: _kept, [ROLLED_BACK_ANNOTATION]: _back, ...annotations} = metadata.annotations
  const foreign = wanted.takesPlace ? OURS : [...OURS, ...OF_CONTROLLERS]
  const labels = Object.entries(metadata.labels).filter(([key]) => !foreign.includes(key))
  const {affinity: _bound, ...free} = runtimeOf(spec, wanted)
  const place =
    'bound' in wanted.nodes
      ? {nodeName: wanted.nodes.bound, ...(original === undefined ? {} : {affinity: original})}
      : {affinity: boundTo(wanted.nodes, original)}
  return kubeObjectSchema.parse({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: wanted.name,
      namespace: wanted.namespace,
      labels: {...Object.fromEntries(labels), ...wanted.labels},
      annotations: {
        ...annotations,
        ...wanted.annotations,
        [AFFINITY_ANNOTATION]: JSON.stringify(original ?? null),
        ...(wanted.backend === 'Handler' ? {[RESTORE_ANNOTATION]: wanted.checkpoint} : {}),
        ...(wanted.backend === 'CreateImage'
          ? {[ORIGINAL_ANNOTATION]: JSON.stringify(originalOf(spec))}
          : {}),
      },
      ...(wanted.owners.length === 0 ? {} : {ownerReferences: wanted.owners}),
    },
    spec: {...free, ...place},
  })
}

function runtimeOf(spec: Template['spec'], {backend, images = {}}: RestoredPod): Template['spec'] {
  const {runtimeClassName, ...rest} = spec
  if (backend === 'Handler') return {...rest, runtimeClassName: RESTORE_RUNTIME}
  const runtime =
    runtimeClassName === undefined || runtimeClassName === RESTORE_RUNTIME ? {} : {runtimeClassName}
  const containers = spec.containers.map((container) => {
    const image = images[container.name]
    // It is in no registry.
    return image === undefined ? container : {...container, image, imagePullPolicy: 'Never'}
  })
  return {
    ...rest,
    ...runtime,
    nodeSelector: {...rest.nodeSelector, [CHECKPOINT_IMAGES_LABEL]: 'true'},
    tolerations: [...(rest.tolerations ?? []), {key: CHECKPOINT_IMAGES_LABEL, operator: 'Exists'}],
    containers,
  }
}

function originalOf({nodeSelector, tolerations, containers}: Template['spec']): OriginalSpec {
  const images = containers.map(({name, image, imagePullPolicy}): [string, unknown] => [
    name,
    {image, imagePullPolicy},
  ])
  return originalSpecSchema.parse({containers: Object.fromEntries(images), nodeSelector, tolerations})
}

/** The affinity with nodes by their names added: every term of ours with every term that was there. */
function boundTo(nodes: readonly string[], affinity: Affinity | undefined): Affinity {
  const named = nodes.map((node) => ({
    matchFields: [{key: 'metadata.name', operator: 'In', values: [node]}],
  }))
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  const before = required?.nodeSelectorTerms ?? [{}]
  const terms = before.flatMap((term) => named.map((name) => ({...term, ...joined(term, name)})))
  return {
    ...affinity,
    nodeAffinity: {
      ...affinity?.nodeAffinity,
      requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: terms},
    },
  }
}

function joined(term: object, name: {readonly matchFields: readonly object[]}): object {
  const fields = z.looseObject({matchFields: z.array(z.looseObject({})).default([])}).parse(term)
  return {matchFields: [...fields.matchFields, ...name.matchFields]}
}
