import {z} from 'zod'
import type {KubeObject, KubeReader} from './types.ts'

const ownerSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  name: z.string(),
  uid: z.string(),
  controller: z.boolean().optional(),
})
export type Owner = z.output<typeof ownerSchema>

const stateSchema = z.looseObject({
  running: z.looseObject({startedAt: z.string().optional()}).optional(),
  waiting: z.looseObject({reason: z.string().optional(), message: z.string().optional()}).optional(),
  terminated: z
    .looseObject({
      reason: z.string().optional(),
      message: z.string().optional(),
      exitCode: z.int().optional(),
      containerID: z.string().optional(),
    })
    .optional(),
})
const containerStatusSchema = z.looseObject({
  name: z.string(),
  image: z.string().optional(),
  imageID: z.string().optional(),
  containerID: z.string().optional(),
  ready: z.boolean().optional(),
  restartCount: z.int().optional(),
  state: stateSchema.optional(),
  lastState: stateSchema.optional(),
})
export type ContainerStatus = z.output<typeof containerStatusSchema>

const containerSchema = z.looseObject({
  name: z.string(),
  image: z.string().default(''),
  resources: z.looseObject({requests: z.record(z.string(), z.string()).optional()}).optional(),
})

const conditionSchema = z.looseObject({
  type: z.string(),
  status: z.string(),
  reason: z.string().optional(),
  message: z.string().optional(),
  lastTransitionTime: z.string().nullish(),
})

export const tolerationSchema = z.looseObject({
  key: z.string().optional(),
  operator: z.string().optional(),
  value: z.string().optional(),
  effect: z.string().optional(),
})

/** Which namespaces of the host a pod's spec requests. */
export const podNamespacesSchema = z.looseObject({
  hostNetwork: z.boolean().optional(),
  hostPID: z.boolean().optional(),
  hostIPC: z.boolean().optional(),
})

/** The fields of a Pod that clouder reads. */
export const podSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().default('default'),
    uid: z.string().default(''),
    creationTimestamp: z.string().nullish(),
    deletionTimestamp: z.string().optional(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
    ownerReferences: z.array(ownerSchema).default([]),
  }),
  spec: podNamespacesSchema.extend({
    nodeName: z.string().optional(),
    runtimeClassName: z.string().optional(),
    containers: z.array(containerSchema).default([]),
    tolerations: z.array(tolerationSchema).optional(),
    nodeSelector: z.record(z.string(), z.string()).optional(),
    volumes: z
      .array(
        z.looseObject({
          name: z.string(),
          persistentVolumeClaim: z.looseObject({claimName: z.string()}).optional(),
        }),
      )
      .optional(),
  }),
  status: z
    .looseObject({
      phase: z.string().optional(),
      reason: z.string().optional(),
      message: z.string().optional(),
      podIP: z.string().optional(),
      podIPs: z.array(z.looseObject({ip: z.string()})).optional(),
      conditions: z.array(conditionSchema).optional(),
      containerStatuses: z.array(containerStatusSchema).optional(),
      initContainerStatuses: z.array(containerStatusSchema).optional(),
    })
    .default({}),
})
export type Pod = z.output<typeof podSchema>

/** Whether a pod has volumes that somebody else may wait for. */
export const hasClaims = (pod: {
  readonly spec: {
    readonly volumes?: readonly {readonly persistentVolumeClaim?: object | undefined}[] | undefined
  }
}): boolean => pod.spec.volumes?.some((volume) => volume.persistentVolumeClaim !== undefined) === true

/** The fields of a Node that clouder reads. */
export const nodeSchema = z.looseObject({
  metadata: z.looseObject({
    name: z.string(),
    labels: z.record(z.string(), z.string()).default({}),
    annotations: z.record(z.string(), z.string()).default({}),
    deletionTimestamp: z.string().optional(),
  }),
  spec: z
    .looseObject({
      unschedulable: z.boolean().optional(),
      podCIDRs: z.array(z.string()).optional(),
      taints: z
        .array(z.looseObject({key: z.string(), value: z.string().optional(), effect: z.string()}))
        .optional(),
    })
    .default({}),
  status: z
    .looseObject({
      conditions: z.array(conditionSchema).optional(),
      allocatable: z.record(z.string(), z.string()).optional(),
      images: z.array(z.looseObject({names: z.array(z.string()).nullish()})).optional(),
    })
    .default({}),
})
export type Node = z.output<typeof nodeSchema>

export const parsePod = (object: KubeObject): Pod => podSchema.parse(object)

export const podRef = (namespace: string, name: string) =>
  ({apiVersion: 'v1', kind: 'Pod', namespace, name}) as const

/** The status of a container, or of an init container, of that name. */
export const statusOf = ({status}: Pod, container: string): ContainerStatus | undefined =>
  [...(status.containerStatuses ?? []), ...(status.initContainerStatuses ?? [])].find(
    ({name}) => name === container,
  )

/** The ID in `containerd://<id>`. */
export const containerIdOf = (status: ContainerStatus | undefined): string | undefined =>
  status?.containerID?.replace(/^.*:\/\//, '')

/** The current pod of that name. */
export async function podOf(
  namespace: string,
  name: string,
  {kube}: {readonly kube: Pick<KubeReader, 'get'>},
): Promise<Pod | undefined> {
  const object = await kube.get(podRef(namespace, name))
  return object === undefined ? undefined : parsePod(object)
}

export const isTerminating = ({metadata}: Pod): boolean => metadata.deletionTimestamp !== undefined

/** Runs on a node and is not being ended. */
export const isRunning = (pod: Pod): boolean => pod.status.phase === 'Running' && !isTerminating(pod)

export const isReady = (pod: Pod): boolean =>
  isRunning(pod) &&
  (pod.status.conditions ?? []).some(({type, status}) => type === 'Ready' && status === 'True')

/** How often containers of a pod were started again. */
export const restartsOf = ({status}: Pod): number =>
  (status.containerStatuses ?? []).reduce((sum, {restartCount = 0}) => sum + restartCount, 0)

/** Who makes the pod anew when it goes; undefined: nobody. */
export const controllerOf = ({metadata}: Pod): Owner | undefined =>
  metadata.ownerReferences.find(({controller}) => controller === true)

/** A pod of the node itself, whose object in the API is only a picture. */
export const isMirror = ({metadata}: Pod): boolean => 'kubernetes.io/config.mirror' in metadata.annotations

const SUFFIX: Readonly<Record<string, number>> = {
  n: 1e-9,
  u: 1e-6,
  m: 1e-3,
  '': 1,
  k: 1e3,
  M: 1e6,
  G: 1e9,
  T: 1e12,
  P: 1e15,
  E: 1e18,
  Ki: 2 ** 10,
  Mi: 2 ** 20,
  Gi: 2 ** 30,
  Ti: 2 ** 40,
  Pi: 2 ** 50,
  Ei: 2 ** 60,
}

/** The number that a quantity of Kubernetes means: `250m` is 0.25, `1Ki` is 1024. Throws TypeError. */
export function quantity(text: string): number {
  const [, digits = '', suffix = ''] =
    /^([+-]?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?)([numkKMGTPE]i?|)$/.exec(text) ?? []
  const factor = SUFFIX[suffix]
  if (digits === '' || factor === undefined) throw new TypeError(`"${text}" is not a quantity`)
  return Number(digits) * factor
}
