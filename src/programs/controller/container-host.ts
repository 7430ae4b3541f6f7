import {isDeepStrictEqual} from 'node:util'
import {RUNTIME_LABEL} from '../../api/names.ts'
import {isRunning, nodeSchema, podSchema} from '../../kubernetes/pod.ts'
import {containerHostSchema} from '../../api/resources.ts'
import {withCondition} from '../../operator/conditions.ts'
import {isNodeReady} from './placement.ts'
import {writeStatus} from '../../operator/writes.ts'
import {parsed, refTo, type Objects, type Reconciler} from './reconcile-context.ts'

/** A host that was not heard of for so long counts as gone. */
const STALE_MS = 60_000

interface Verdict {
  readonly status: 'True' | 'False'
  readonly reason: string
  readonly message: string
}

/**
 * Tells by condition Ready whether a host was heard of, and whether it takes more: of one that has joined its kubelet
 * says it, of another one its heartbeats.
 */
export const containerHostReconciler: Reconciler = {
  name: 'container-host',
  kind: 'ContainerHost',
  watches: {
    Node: ({metadata}) => [refTo('ContainerHost', metadata.name)],
    Pod: ({metadata, spec}) => {
      const host = metadata.labels?.[RUNTIME_LABEL] === undefined ? undefined : nodeOf(spec)
      return host === undefined ? [] : [refTo('ContainerHost', host)]
    },
  },
  async reconcile(object, context) {
    const {spec, status = {}, metadata} = containerHostSchema.parse(object)
    const node = context.objects.get('Node', metadata.name)
    const ageMs = context.now() - Date.parse(status.lastHeartbeatTime ?? '')
    const verdict = node === undefined ? heartbeatVerdict(ageMs) : joined(isNodeReady(nodeSchema.parse(node)))
    const ready = verdict.status === 'True' && spec.unschedulable === true ? DRAINING : verdict
    const next = {
      conditions: withCondition(
        status.conditions,
        {type: 'Ready', ...ready},
        {generation: metadata.generation, nowMs: context.now()},
      ),
      ...(node === undefined && status.joined !== true
        ? {}
        : {running: runtimesOn(metadata.name, context.objects)}),
      joined: node !== undefined,
    }
    const before: Readonly<Record<string, unknown>> = status
    if (!Object.entries(next).every(([key, value]) => isDeepStrictEqual(before[key], value)))
      await writeStatus(object, next, context)
    return node === undefined && ageMs < STALE_MS ? {requeueAfterMs: STALE_MS - ageMs} : undefined
  },
}

const nodeOf = (spec: unknown): string | undefined => podSchema.shape.spec.safeParse(spec).data?.nodeName

const runtimesOn = (node: string, objects: Objects): readonly string[] =>
  parsed(
    objects.list('Pod').filter(({metadata}) => metadata.labels?.[RUNTIME_LABEL] !== undefined),
    podSchema,
  )
    .filter((pod) => pod.spec.nodeName === node && isRunning(pod))
    .map(({metadata}) => `${metadata.namespace}/${metadata.labels[RUNTIME_LABEL] ?? ''}`)
    .toSorted()

const DRAINING: Verdict = {status: 'False', reason: 'Draining', message: 'it accepts no new runtimes'}

const joined = (isReady: boolean): Verdict =>
  isReady
    ? {status: 'True', reason: 'Joined', message: 'it is a node of the cluster and is ready'}
    : {status: 'False', reason: 'NodeNotReady', message: 'it is a node of the cluster but is not ready'}

function heartbeatVerdict(ageMs: number): Verdict {
  if (Number.isNaN(ageMs))
    return {status: 'False', reason: 'NeverReported', message: 'it has not sent a heartbeat yet'}
  if (ageMs >= STALE_MS)
    return {
      status: 'False',
      reason: 'HeartbeatMissing',
      message: `no heartbeat for more than ${STALE_MS / 1000} s`,
    }
  return {status: 'True', reason: 'HeartbeatReceived', message: 'it sends heartbeats'}
}
