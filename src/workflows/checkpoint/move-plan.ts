import {z} from 'zod'
import {BACKEND_LABELS, NODE_FEATURES_ANNOTATION} from '../../api/names.ts'
import {migrationSchema, migrationWays, type Migration} from '../../api/resources.ts'
import {nodeFeaturesSchema, type NodeFeatures} from '../../api/sealed-checkpoint.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {reasonNotToBeLazy} from '../../checkpoint/lazy.ts'
import {unlike} from '../../checkpoint/likeness.ts'
import {reasonNotToMove} from '../../checkpoint/policies.ts'
import {nodeSchema, type Node, type Pod} from '../../kubernetes/pod.ts'
import type {KubeReader} from '../../kubernetes/types.ts'
import {jsonOf} from '../../base/json.ts'
import {listObjects, needNode, runningPod} from './objects.ts'

type Way = (typeof migrationWays)[number]

/** A node that a pod may be moved to, and how; or why not. */
export interface PlannedTarget {
  readonly node: string
  /** Absent: the pod cannot be moved there. */
  readonly way?: Way
  readonly why?: string
  /** Whether the pod can run there before its memory has arrived. */
  readonly lazy?: boolean
}

/** What a move would be, without one. */
export interface MovePlan {
  readonly pod: string
  readonly from: string
  /** What its processes have in memory, as the kubelet measures it; absent: the kubelet did not say. */
  readonly memoryBytes?: number
  readonly targets: readonly PlannedTarget[]
  /** By way, from moves that this cluster has made; absent: none of that way was measured. */
  readonly downtimes: Readonly<Partial<Record<Way, ExpectedDowntime>>>
}

export interface ExpectedDowntime {
  readonly downtimeMs: number
  /** How many moves it was reckoned from. */
  readonly moves: number
}

export interface PlanOptions {
  readonly namespace: string
  readonly pod: string
  readonly node?: string
  readonly backend?: Migration['spec']['backend']
  readonly memoryPolicy?: Migration['spec']['memoryPolicy']
}

/**
 * What `migratePod` would do: the memory to move, the ways to each node, and the downtime to expect. Nothing is changed.
 * Taints, room and quotas are not looked at. Throws CheckpointError POD_NOT_FOUND, MIGRATION_FAILED.
 */
export async function planMove(kube: KubeReader, options: PlanOptions): Promise<MovePlan> {
  const {namespace, pod: name, node: wanted, backend = 'Handler', memoryPolicy} = options
  const pod = await runningPod(kube, {namespace, pod: name})
  const from = pod.spec.nodeName ?? ''
  if (wanted !== undefined) await needNode(kube, wanted)
  const never = reasonNotToMove(pod)
  if (never !== undefined)
    throw new CheckpointError('MIGRATION_FAILED', `pod ${namespace}/${name} cannot be moved: ${never}`)
  if (wanted === from)
    throw new CheckpointError('MIGRATION_FAILED', `pod ${namespace}/${name} already runs on ${from}`)
  const isLazy = memoryPolicy === 'Lazy'
  const eager = isLazy ? reasonNotToBeLazy(pod, {backend}) : undefined
  if (eager !== undefined)
    throw new CheckpointError('MIGRATION_FAILED', `pod ${namespace}/${name} cannot be moved lazily: ${eager}`)
  const nodes = (await kube.list({apiVersion: 'v1', kind: 'Node'})).map((object) => nodeSchema.parse(object))
  const source = nodes.find(({metadata}) => metadata.name === from)
  const targets = nodes
    .filter(({metadata}) => metadata.name !== from && (wanted === undefined || metadata.name === wanted))
    .map((target) => plannedTarget(target, source, {backend, isLazy}))
    .toSorted((one, other) => one.node.localeCompare(other.node))
  const memoryBytes = await memoryOf(pod, kube)
  const moves = (await listObjects(kube, 'Migration', migrationSchema)).filter(
    ({spec}) => (spec.memoryPolicy === 'Lazy') === isLazy,
  )
  const downtimes = Object.fromEntries(
    migrationWays.flatMap((way) => {
      const expected = memoryBytes === undefined ? undefined : expectedDowntime(memoryBytes, way, moves)
      return expected === undefined ? [] : [[way, expected] as const]
    }),
  )
  return {
    pod: `${namespace}/${name}`,
    from,
    ...(memoryBytes === undefined ? {} : {memoryBytes}),
    targets,
    downtimes,
  }
}

/** Where a pod can run before its memory has arrived, or why nowhere. */
export interface LazyTargets {
  readonly nodes: readonly string[]
  readonly why?: string
}

/** The nodes that `migrate --lazy` can move a pod to. Taints, room and quotas are not looked at. */
export function lazyTargets(pod: Pod, nodes: readonly Node[]): LazyTargets {
  const never = reasonNotToMove(pod) ?? reasonNotToBeLazy(pod, {})
  if (never !== undefined) return {nodes: [], why: never}
  const from = pod.spec.nodeName ?? ''
  const source = nodes.find(({metadata}) => metadata.name === from)
  const targets = nodes
    .filter(({metadata}) => metadata.name !== from)
    .map((target) => plannedTarget(target, source, {backend: 'Handler', isLazy: true}))
  const able = targets.flatMap(({node, ...how}) => ('lazy' in how ? [node] : []))
  if (able.length > 0) return {nodes: able}
  const whys = targets.map(({node, why = ''}) => `${node}: ${why}`)
  return {nodes: [], why: whys.length === 0 ? 'there is no other node' : whys.join('; ')}
}

function plannedTarget(
  target: Node,
  source: Node | undefined,
  {backend, isLazy}: {readonly backend: 'Handler' | 'CreateImage' | 'Native'; readonly isLazy: boolean},
): PlannedTarget {
  const {name: node, labels} = target.metadata
  const [here, there] = [source, target].map((one) => (one === undefined ? undefined : featuresOf(one)))
  const isReady = (target.status.conditions ?? []).some(
    ({type, status}) => type === 'Ready' && status === 'True',
  )
  if (!isReady) return {node, why: 'it is not ready'}
  if (target.spec.unschedulable === true) return {node, why: 'it is cordoned'}
  if (labels[BACKEND_LABELS[backend]] !== 'true')
    return {node, why: `it does not support the backend ${backend}`}
  if (here === undefined) return {node, why: 'the node of the pod has no node agent'}
  if (there === undefined) return {node, why: 'it has no node agent'}
  const difference = unlike(here, there)
  if (difference !== undefined) return {node, why: difference}
  const isDirect = backend === 'Handler' && here.directMoves === true && there.directMoves === true
  if (!isLazy) return {node, way: isDirect ? 'Direct' : 'Store'} as const
  const serve = here.postcopy === true && there.postcopy === true
  if (isDirect && serve) return {node, way: 'Direct', lazy: true} as const
  return {node, why: 'it or the node of the pod cannot move memory lazily (node feature postcopy)'}
}

/** As the schema of this release reads them, without what a newer one may add. */
const featuresSchema = z.object(nodeFeaturesSchema.shape)

function featuresOf({metadata}: Node): NodeFeatures | undefined {
  return featuresSchema.safeParse(jsonOf(metadata.annotations[NODE_FEATURES_ANNOTATION] ?? '')).data
}

const summarySchema = z.looseObject({
  pods: z.array(
    z.looseObject({
      podRef: z.looseObject({uid: z.string()}),
      containers: z
        .array(z.looseObject({memory: z.looseObject({rssBytes: z.int().optional()}).optional()}))
        .nullish(),
    }),
  ),
})

/** Anonymous memory of a pod's containers: what CRIU dumps, apart from files that are mapped and shared memory. */
async function memoryOf({spec, metadata}: Pod, kube: KubeReader): Promise<number | undefined> {
  const path = `/api/v1/nodes/${spec.nodeName ?? ''}/proxy/stats/summary`
  const {status, body} = await kube.fetch(path)
  if (status !== 200) return undefined
  const {data} = summarySchema.safeParse(jsonOf(body))
  const containers = data?.pods.find(({podRef}) => podRef.uid === metadata.uid)?.containers ?? undefined
  return containers?.reduce((sum, {memory}) => sum + (memory?.rssBytes ?? 0), 0)
}

const NEAREST = 3

/**
 * The downtime of a move of `sizeBytes`: the median of the measured moves that are nearest in size, each prolonged in
 * proportion where it was smaller, and never shortened. Undefined: no move of that way was measured.
 */
export function expectedDowntime(
  sizeBytes: number,
  way: Way,
  moves: readonly Migration[],
): ExpectedDowntime | undefined {
  const distance = (bytes: number): number => Math.abs(Math.log(Math.max(bytes, 1) / Math.max(sizeBytes, 1)))
  const measured = moves
    .flatMap(({status}) => {
      const {phase, downtimeMilliseconds: downtimeMs, transferredBytes: bytes} = status ?? {}
      if (phase !== 'Succeeded' || (status?.way ?? 'Store') !== way) return []
      return downtimeMs === undefined || bytes === undefined ? [] : [{downtimeMs, bytes}]
    })
    .toSorted((one, other) => distance(one.bytes) - distance(other.bytes))
    .slice(0, NEAREST)
    .map(({downtimeMs, bytes}) => downtimeMs * Math.max(1, sizeBytes / Math.max(bytes, 1)))
    .toSorted((one, other) => one - other)
  const median = measured[Math.floor(measured.length / 2)]
  return median === undefined ? undefined : {downtimeMs: Math.round(median), moves: measured.length}
}
