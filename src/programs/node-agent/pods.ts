import {z} from 'zod'
import type {KubeClient, KubeObject} from '../../kubernetes/types.ts'

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

/** The pod of that name, as the server has it. */
export async function podOf(
  namespace: string,
  name: string,
  {kube}: {readonly kube: KubeClient},
): Promise<Pod | undefined> {
  const object = await kube.get(podRef(namespace, name))
  return object === undefined ? undefined : parsePod(object)
}
