import {checkpointPolicySchema} from '../../api/resources.ts'
import {podSchema, type Pod} from '../../kubernetes/pod.ts'
import {drainPlan, type PodToMove} from '../../checkpoint/policies.ts'
import {AbortError, errorMessage, isTransient, TimeoutError} from '../../base/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {apiError} from '../../kubernetes/answers.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import {retry, waitFor} from '../../base/waiting.ts'
import type {CheckpointTools} from '../checkpoint/checkpoint.ts'
import {migratePod} from '../checkpoint/move.ts'
import {listObjects, needNode} from '../checkpoint/objects.ts'

export interface DrainOptions {
  readonly node: string
  /** Move the pods that a policy opts in, with their memory; false: evict them like all others. */
  readonly checkpoint: boolean
  /** For each pod. */
  readonly timeoutMs: number
}

export interface DrainedPod {
  readonly pod: string
  readonly result: 'moved' | 'evicted' | 'left' | 'failed'
  readonly detail: string
}

export interface DrainResult {
  readonly node: string
  readonly pods: readonly DrainedPod[]
  /** Whether nothing is left there that should have gone. */
  readonly drained: boolean
}

const POLL_MS = 500

/**
 * Empties a node: cordons it, moves the pods that a policy with `migrateOnDrain` opts in, and evicts the rest, as their
 * disruption budgets allow. Pods of DaemonSets stay. A pod that cannot be moved stays too, and runs: it is told as
 * failed, and nothing is killed in its place. Run again, it goes on.
 */
export async function drainNode(
  kube: KubeClient,
  {node, checkpoint, timeoutMs}: DrainOptions,
  tools: CheckpointTools,
): Promise<DrainResult> {
  await needNode(kube, node)
  await kube.patch({apiVersion: 'v1', kind: 'Node', name: node}, {spec: {unschedulable: true}})
  const policies = checkpoint ? await listObjects(kube, 'CheckpointPolicy', checkpointPolicySchema) : []
  const plan = drainPlan(await podsOf(kube, node), policies)
  const left = plan.leave.map(({pod, why}): DrainedPod => ({pod: placeOf(pod), result: 'left', detail: why}))
  const moved: DrainedPod[] = []
  // One after the other: each takes the network and a disk of the node for itself.
  for (const entry of plan.move) moved.push(await movePod(kube, node, entry, timeoutMs, tools))
  const evicted = await evictAll(kube, plan.evict, timeoutMs, tools)
  const pods = [...moved, ...evicted, ...left]
  return {node, pods, drained: pods.every(({result}) => result !== 'failed')}
}

const placeOf = ({metadata}: Pod): string => `${metadata.namespace}/${metadata.name}`

async function podsOf(kube: KubeReader, node: string): Promise<readonly Pod[]> {
  const pods = (await kube.list({apiVersion: 'v1', kind: 'Pod'})).map((pod) => podSchema.parse(pod))
  return pods.filter(({spec}) => spec.nodeName === node)
}

async function movePod(
  kube: KubeClient,
  node: string,
  {pod, policy, store}: PodToMove,
  timeoutMs: number,
  tools: CheckpointTools,
): Promise<DrainedPod> {
  const place = placeOf(pod)
  const limit = AbortSignal.timeout(timeoutMs)
  try {
    const {namespace, name} = pod.metadata
    const owner = `policy/${policy}`
    const signal = AbortSignal.any([tools.signal, limit])
    // Asked again, the same move is followed: an API server that is away before or after that fails no pod.
    const {status} = await retry(
      () => migratePod(kube, {namespace, pod: name, store, owner}, {...tools, signal}),
      {timeoutMs, intervalMs: POLL_MS, signal, again: isTransient},
    )
    return {
      pod: place,
      result: 'moved',
      detail: `to ${status?.targetNodeName ?? 'another node'}, by policy ${policy}${downtimeText(status?.downtimeMilliseconds)}`,
    }
  } catch (error) {
    tools.signal.throwIfAborted()
    const late = limit.aborted ? `not moved within ${timeoutMs / 1000} s, the move continues` : undefined
    if (late === undefined && error instanceof AbortError) throw error
    return {pod: place, result: 'failed', detail: late ?? textOf(error)}
  }
}

const downtimeText = (ms: number | undefined): string =>
  ms === undefined ? '' : `, downtime ${(ms / 1000).toFixed(1)} s`

const textOf = (error: unknown): string => errorMessage(error)

/** How far the eviction of a pod is. */
interface Eviction {
  readonly pod: Pod
  accepted: boolean
  /** Why it is not over; undefined: nothing was heard yet. */
  why: string | undefined
}

/** All at once: each waits for its own disruption budget. One that is refused holds up no other. */
async function evictAll(
  kube: KubeClient,
  pods: readonly Pod[],
  timeoutMs: number,
  {report, now, signal}: CheckpointTools,
): Promise<readonly DrainedPod[]> {
  if (pods.length === 0) return []
  const [task, startedMs] = ['evict', now()]
  report({type: 'task-started', task, title: `evicting ${pods.length} ${pods.length === 1 ? 'pod' : 'pods'}`})
  const waiting = new Map(
    pods.map((pod): [string, Eviction] => [placeOf(pod), {pod, accepted: false, why: undefined}]),
  )
  const results: DrainedPod[] = []
  const end = (place: string, result: DrainedPod['result'], detail: string): void => {
    waiting.delete(place)
    results.push({pod: place, result, detail})
  }
  await waitFor({
    what: 'the pods to be evicted',
    timeoutMs,
    intervalMs: POLL_MS,
    signal,
    onSeen: (text) => report({type: 'task-progress', task, text}),
    check: async (limit) => {
      const round = [...waiting].map(async ([place, eviction]) => {
        try {
          await evict(kube, eviction, limit)
          if (await isGone(kube, eviction.pod)) end(place, 'evicted', 'is no longer on the node')
        } catch (error) {
          limit.throwIfAborted()
          if (!(error instanceof KubernetesError)) throw error
          if (error.isTransient) eviction.why = error.message
          else end(place, 'failed', error.message)
        }
      })
      await Promise.all(round)
      return waiting.size === 0 ? {value: true, seen: 'none left'} : {seen: `${waiting.size} left`}
    },
  }).catch((error: unknown) => {
    if (!(error instanceof TimeoutError)) throw error
  })
  const waitedS = Math.round(timeoutMs / 1000)
  for (const [place, {why = 'not requested'}] of waiting) end(place, 'failed', `${why}; waited ${waitedS} s`)
  const failed = results.filter(({result}) => result === 'failed').length
  const durationMs = now() - startedMs
  if (failed === 0) report({type: 'task-done', task, durationMs})
  else report({type: 'task-failed', task, durationMs, message: `${failed} still present`})
  return results
}

/** Asks for it until it is accepted, which a disruption budget may hold up. Throws KubernetesError. */
async function evict(kube: KubeClient, eviction: Eviction, signal: AbortSignal): Promise<void> {
  if (eviction.accepted) return
  const {namespace, name, uid} = eviction.pod.metadata
  const body = {
    apiVersion: 'policy/v1',
    kind: 'Eviction',
    metadata: {name, namespace},
    deleteOptions: {preconditions: {uid}},
  }
  const path = `/api/v1/namespaces/${namespace}/pods/${name}/eviction`
  const answer = await kube.post(path, JSON.stringify(body), signal)
  const {status} = answer
  if ((status < 200 || status >= 300) && status !== 404 && status !== 409)
    throw apiError(answer, `evict ${namespace}/${name}`)
  eviction.accepted = true
  eviction.why = 'it does not terminate'
}

async function isGone(kube: KubeReader, {metadata}: Pod): Promise<boolean> {
  const {namespace, name, uid} = metadata
  const now = await kube.get({apiVersion: 'v1', kind: 'Pod', namespace, name})
  return now === undefined || now.metadata.uid !== uid
}
