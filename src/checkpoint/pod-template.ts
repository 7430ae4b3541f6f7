import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {ORIGINAL_ANNOTATION, RESTORE_ANNOTATION} from '../api/names.ts'
import {originalSpecOf} from './original-spec.ts'

/** A Pod, as far as a new one is made after it. */
export const templatedPodSchema = z.looseObject({
  metadata: z.looseObject({
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  spec: z.looseObject({containers: z.array(z.looseObject({name: z.string(), image: z.string()}))}),
})
export type TemplatedPod = z.output<typeof templatedPodSchema>

/** The pod as it was before a restore gave it images that were made of a checkpoint. */
export function originalPod(pod: TemplatedPod): TemplatedPod {
  const kept = originalSpecOf(pod)
  if (kept === undefined) return pod
  const {containers: before, ...rest} = kept
  const {nodeSelector: _selector, tolerations: _tolerations, ...spec} = pod.spec
  const containers = pod.spec.containers.map(({imagePullPolicy: _policy, ...container}) => ({
    ...container,
    ...before[container.name],
  }))
  return {...pod, spec: {...spec, ...rest, containers}}
}

/** What the server, the scheduler and the kubelet wrote into the spec of a pod, which a new one gets anew. */
const WRITTEN_BY_OTHERS = [
  'nodeName',
  'priority',
  'preemptionPolicy',
  'serviceAccount',
  'ephemeralContainers',
  'overhead',
]
const OTHERS_ANNOTATIONS = [
  'kubectl.kubernetes.io/last-applied-configuration',
  RESTORE_ANNOTATION,
  ORIGINAL_ANNOTATION,
]
const mountsSchema = z.looseObject({volumeMounts: z.array(z.looseObject({name: z.string()})).optional()})
const volumesSchema = z.looseObject({
  volumes: z.array(z.looseObject({name: z.string()})).optional(),
  tolerations: z
    .array(z.looseObject({key: z.string().optional(), tolerationSeconds: z.number().optional()}))
    .optional(),
  containers: z.array(mountsSchema),
  initContainers: z.array(mountsSchema).optional(),
})

/** The pod to make for a restore: labels, annotations and spec, as somebody would have written them. */
export function podTemplateOf(given: TemplatedPod): {
  metadata: Record<string, unknown>
  spec: Record<string, unknown>
} {
  const pod = originalPod(given)
  const {labels = {}, annotations = {}} = pod.metadata
  const kept = Object.fromEntries(
    Object.entries(annotations).filter(([key]) => !OTHERS_ANNOTATIONS.includes(key)),
  )
  const spec = volumesSchema.parse(
    Object.fromEntries(Object.entries(pod.spec).filter(([key]) => !WRITTEN_BY_OTHERS.includes(key))),
  )
  // The volume of the service account's token, which each pod gets under a name of its own.
  const isToken = ({name}: {name: string}): boolean => /^kube-api-access-[a-z0-9]{5}$/.test(name)
  const withoutToken = (container: z.output<typeof mountsSchema>) => ({
    ...container,
    ...(container.volumeMounts === undefined
      ? {}
      : {volumeMounts: container.volumeMounts.filter((mount) => !isToken(mount))}),
  })
  const isDefault = ({
    key,
    tolerationSeconds,
  }: {
    key?: string | undefined
    tolerationSeconds?: number | undefined
  }) => tolerationSeconds === 300 && /^node\.kubernetes\.io\/(not-ready|unreachable)$/.test(key ?? '')
  return withoutNulls({
    metadata: {
      ...(Object.keys(labels).length === 0 ? {} : {labels}),
      ...(Object.keys(kept).length === 0 ? {} : {annotations: kept}),
    },
    spec: {
      ...spec,
      containers: spec.containers.map(withoutToken),
      ...(spec.initContainers === undefined ? {} : {initContainers: spec.initContainers.map(withoutToken)}),
      ...(spec.volumes === undefined ? {} : {volumes: spec.volumes.filter((volume) => !isToken(volume))}),
      ...(spec.tolerations === undefined
        ? {}
        : {tolerations: spec.tolerations.filter((toleration) => !isDefault(toleration))}),
    },
  })
}

/** Whether a pod still asks for what a template says: its containers, volumes and whatever else is in its spec. */
export const isOfTemplate = (pod: TemplatedPod, template: {readonly spec: object}): boolean =>
  isDeepStrictEqual(podTemplateOf(pod).spec, withoutNulls(template.spec))

/** An API server drops what is null from a status. */
function withoutNulls<T>(value: T): T {
  const text = JSON.stringify(value, (_, one: unknown) => (one === null ? undefined : one))
  return JSON.parse(text) as T
}
