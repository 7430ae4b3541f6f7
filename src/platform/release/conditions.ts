import {z} from 'zod'
import type {KubeObject} from '../../kubernetes/types.ts'
import {groupOf} from './identity.ts'

/** What an object lacks to be ready by what its status says. */
export interface Unready {
  readonly problem: string
  readonly isStuck: boolean
}

const count = z.int().nullish()
const conditionSchema = z.looseObject({
  type: z.string(),
  status: z.string(),
  reason: z.string().nullish(),
  message: z.string().nullish(),
  observedGeneration: z.int().nullish(),
})
const anySchema = z.looseObject({
  spec: z
    .looseObject({
      replicas: count,
      completions: count,
      type: z.string().nullish(),
      suspend: z.boolean().nullish(),
      updateStrategy: z.looseObject({type: z.string().nullish()}).nullish(),
    })
    .catch({})
    .default({}),
  status: z
    .looseObject({
      observedGeneration: count,
      replicas: count,
      updatedReplicas: count,
      availableReplicas: count,
      readyReplicas: count,
      desiredNumberScheduled: count,
      updatedNumberScheduled: count,
      numberAvailable: count,
      phase: z.string().nullish(),
      loadBalancer: z.looseObject({ingress: z.array(z.unknown()).nullish()}).nullish(),
      conditions: z.array(conditionSchema).nullish().catch([]),
    })
    .catch({})
    .default({}),
})
type Status = z.output<typeof anySchema>['status']
type Any = z.output<typeof anySchema>
type Condition = z.output<typeof conditionSchema>

const waiting = (problem: string): Unready => ({problem, isStuck: false})
const stuck = (problem: string): Unready => ({problem, isStuck: true})

const conditionOf = ({conditions}: Status, type: string): Condition | undefined =>
  conditions?.find((condition) => condition.type === type)

const textOf = ({reason, message, type, status}: Condition): string => {
  const words = [reason, message].filter((part) => part !== undefined && part !== null && part !== '')
  return words.length === 0 ? `${type} is ${status}` : words.join(': ')
}

type Check = (object: Any, live: KubeObject) => Unready | undefined

const isTrue =
  (...types: readonly string[]): Check =>
  ({status}) => {
    for (const type of types) {
      const condition = conditionOf(status, type)
      if (condition?.status !== 'True')
        return waiting(condition === undefined ? `${type} is not reported yet` : textOf(condition))
    }
    return undefined
  }

/** `one of three replicas`, as controllers of replicas count them. */
function replicas(
  wanted: number,
  parts: Readonly<Record<string, number | null | undefined>>,
): Unready | undefined {
  const short = Object.entries(parts).find(([, have]) => (have ?? 0) < wanted)
  return short === undefined ? undefined : waiting(`${short[1] ?? 0} of ${wanted} replicas are ${short[0]}`)
}

const deployment: Check = ({spec, status}) => {
  const progressing = conditionOf(status, 'Progressing')
  if (progressing?.reason === 'ProgressDeadlineExceeded') return stuck(textOf(progressing))
  const wanted = spec.replicas ?? 1
  const old = (status.replicas ?? 0) - (status.updatedReplicas ?? 0)
  const open = replicas(wanted, {updated: status.updatedReplicas, available: status.availableReplicas})
  return open ?? (old > 0 ? waiting(`${old} old replicas are not gone yet`) : undefined)
}

const daemonSet: Check = ({spec, status}) => {
  const wanted = status.desiredNumberScheduled ?? 0
  const updated = spec.updateStrategy?.type === 'OnDelete' ? wanted : status.updatedNumberScheduled
  return replicas(wanted, {updated, available: status.numberAvailable})
}

const statefulSet: Check = ({spec, status}) => {
  const wanted = spec.replicas ?? 1
  const updated = spec.updateStrategy?.type === 'OnDelete' ? wanted : status.updatedReplicas
  return replicas(wanted, {updated, ready: status.readyReplicas})
}

const pod: Check = ({status}) => {
  if (status.phase === 'Succeeded') return undefined
  const ready = conditionOf(status, 'Ready')
  if (status.phase === 'Failed') return stuck(`it failed${ready === undefined ? '' : `: ${textOf(ready)}`}`)
  const scheduled = conditionOf(status, 'PodScheduled')
  if (scheduled?.status === 'False') return waiting(textOf(scheduled))
  return ready?.status === 'True'
    ? undefined
    : waiting(ready === undefined ? 'it is not Ready' : textOf(ready))
}

const job: Check = ({spec, status}) => {
  const failed = conditionOf(status, 'Failed')
  if (failed?.status === 'True') return stuck(textOf(failed))
  if (spec.suspend === true || conditionOf(status, 'Complete')?.status === 'True') return undefined
  return waiting('it is not complete')
}

const claim: Check = ({status}, {metadata}) => {
  if (status.phase === 'Bound') return undefined
  if (status.phase === 'Lost') return stuck('its volume is lost')
  // A claim of a class that waits for the first consumer has no volume until a pod uses it.
  return metadata.annotations?.[WAITS] === 'true'
    ? undefined
    : waiting(`it is ${status.phase ?? 'not bound yet'}`)
}
/** Set on what is looked at, where the class of a claim binds when the first pod uses it. */
export const WAITS = 'clouder.dev/waits-for-consumer'

const service: Check = ({spec, status}) =>
  spec.type === 'LoadBalancer' && (status.loadBalancer?.ingress ?? []).length === 0
    ? waiting('it has no address of a load balancer yet')
    : undefined

const namespace: Check = ({status}) =>
  status.phase === 'Terminating' ? waiting('it is being deleted') : undefined

const definition: Check = (object, live) => {
  const names = conditionOf(object.status, 'NamesAccepted')
  if (names?.status === 'False') return stuck(textOf(names))
  return isTrue('Established')(object, live)
}

/** A kind that is not known is ready unless its own condition says otherwise. */
const other: Check = ({status}) => {
  const condition = ['Ready', 'Available']
    .map((type) => conditionOf(status, type))
    .find((one) => one !== undefined)
  const stalled = conditionOf(status, 'Stalled')
  if (stalled?.status === 'True') return stuck(textOf(stalled))
  return condition === undefined || condition.status === 'True' ? undefined : waiting(textOf(condition))
}

const nothing: Check = () => undefined

const CHECKS: Readonly<Record<string, Check>> = {
  'apps/Deployment': deployment,
  'apps/DaemonSet': daemonSet,
  'apps/StatefulSet': statefulSet,
  'apps/ReplicaSet': ({spec, status}) => replicas(spec.replicas ?? 1, {available: status.availableReplicas}),
  '/Pod': pod,
  'batch/Job': job,
  'batch/CronJob': nothing,
  '/PersistentVolumeClaim': claim,
  '/Service': service,
  '/Namespace': namespace,
  'apiextensions.k8s.io/CustomResourceDefinition': definition,
  'apiregistration.k8s.io/APIService': isTrue('Available'),
}

/** What these say besides, for what has no status of interest no request is sent. */
const WITHOUT_STATUS = new Set([
  ...['/ConfigMap', '/Secret', '/ServiceAccount', '/LimitRange', '/Endpoints', '/Event'],
  ...['rbac.authorization.k8s.io/Role', 'rbac.authorization.k8s.io/RoleBinding'],
  ...['rbac.authorization.k8s.io/ClusterRole', 'rbac.authorization.k8s.io/ClusterRoleBinding'],
  ...['scheduling.k8s.io/PriorityClass', 'node.k8s.io/RuntimeClass', 'storage.k8s.io/CSIDriver'],
  ...['storage.k8s.io/StorageClass', 'networking.k8s.io/NetworkPolicy', 'networking.k8s.io/IngressClass'],
  ...['networking.k8s.io/Ingress', 'coordination.k8s.io/Lease', 'discovery.k8s.io/EndpointSlice'],
  ...['admissionregistration.k8s.io/ValidatingWebhookConfiguration'],
  ...['admissionregistration.k8s.io/MutatingWebhookConfiguration'],
  ...['admissionregistration.k8s.io/ValidatingAdmissionPolicy'],
  ...['admissionregistration.k8s.io/ValidatingAdmissionPolicyBinding'],
])

export const kindKey = (object: {readonly apiVersion: string; readonly kind: string}): string =>
  `${groupOf(object)}/${object.kind}`

/** Whether the status of such an object can say that it is not ready. */
export const hasReadiness = (object: KubeObject): boolean => !WITHOUT_STATUS.has(kindKey(object))

/** Why a live object is not ready; undefined: it is. */
export function unreadyOf(live: KubeObject): Unready | undefined {
  const object = anySchema.parse(live)
  const {generation, deletionTimestamp} = live.metadata
  if (deletionTimestamp !== undefined) return waiting('it is being deleted')
  const {observedGeneration} = object.status
  if (generation !== undefined && typeof observedGeneration === 'number' && observedGeneration < generation)
    return waiting('its controller has not seen the change yet')
  const key = kindKey(live)
  // A controller of workloads that never looked at it has written no generation.
  if (key.startsWith('apps/') && typeof observedGeneration !== 'number')
    return waiting('its controller has not seen it yet')
  return (CHECKS[key] ?? other)(object, live)
}
