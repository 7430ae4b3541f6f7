import {z} from 'zod'
import type {KubeClient, KubeObject} from '../kubernetes/types.ts'
import {ORIGINAL_ANNOTATION, RESTORE_ANNOTATION} from '../checkpoint/names.ts'
import {originalSpecOf} from '../checkpoint/original-spec.ts'

const stateSchema = z.looseObject({
  running: z.looseObject({startedAt: z.string().optional()}).optional(),
  waiting: z.looseObject({reason: z.string().optional()}).optional(),
  terminated: z.looseObject({reason: z.string().optional(), containerID: z.string().optional()}).optional(),
})

const containerStatusSchema = z.looseObject({
  name: z.string(),
  image: z.string().optional(),
  imageID: z.string().optional(),
  containerID: z.string().optional(),
  state: stateSchema.optional(),
  lastState: stateSchema.optional(),
})
export type ContainerStatus = z.output<typeof containerStatusSchema>

const containerSchema = z.looseObject({name: z.string(), image: z.string()})

/** Which namespaces of the host a pod's spec asks for. */
export const podNamespacesSchema = z.looseObject({
  hostNetwork: z.boolean().optional(),
  hostPID: z.boolean().optional(),
  hostIPC: z.boolean().optional(),
})

/** A Pod of this node, as far as checkpoints look. */
export const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string(),
    uid: z.string(),
    deletionTimestamp: z.string().optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
  spec: z.looseObject({
    nodeName: z.string().optional(),
    runtimeClassName: z.string().optional(),
    containers: z.array(containerSchema),
    volumes: z.array(z.looseObject({persistentVolumeClaim: z.looseObject({}).optional()})).optional(),
  }),
  status: z
    .looseObject({
      phase: z.string().optional(),
      podIP: z.string().optional(),
      containerStatuses: z.array(containerStatusSchema).optional(),
      initContainerStatuses: z.array(containerStatusSchema).optional(),
    })
    .optional(),
})
export type Pod = z.output<typeof podSchema>

export const parsePod = (object: KubeObject): Pod => podSchema.parse(object)

export const podRef = (namespace: string, name: string) =>
  ({apiVersion: 'v1', kind: 'Pod', namespace, name}) as const

export const statusOf = (pod: Pod, container: string): ContainerStatus | undefined =>
  [...(pod.status?.containerStatuses ?? []), ...(pod.status?.initContainerStatuses ?? [])].find(
    ({name}) => name === container,
  )

/** `containerd://<id>` without what stands before. */
export const containerIdOf = (status: ContainerStatus | undefined): string | undefined =>
  status?.containerID?.replace(/^.*:\/\//, '')

/** The pod as it was before a restore gave it images that were made of a checkpoint. */
export function originalPod(pod: Pod): Pod {
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
export function podTemplateOf(given: Pod): {
  metadata: Record<string, unknown>
  spec: Record<string, unknown>
} {
  const pod = originalPod(given)
  const {labels, annotations = {}} = pod.metadata
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
  return {
    metadata: {
      ...(labels === undefined ? {} : {labels}),
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
  }
}

/** The pod of that name, as the server has it. */
export async function podOf(
  namespace: string,
  name: string,
  {kube}: {readonly kube: KubeClient},
): Promise<Pod | undefined> {
  const object = await kube.get(podRef(namespace, name))
  return object === undefined ? undefined : parsePod(object)
}
