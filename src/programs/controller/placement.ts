import {z} from 'zod'
import {BACKEND_LABELS, CHECKPOINT_IMAGES_LABEL, NODE_FEATURES_ANNOTATION} from '../../api/names.ts'
import {unlike} from '../../checkpoint/likeness.ts'
import {nodeSchema, podSchema, quantity, type Node, type Pod} from '../../kubernetes/pod.ts'
import {selects} from '../../checkpoint/policies.ts'
import {backends, type Backend} from '../../api/resources.ts'
import {nodeFeaturesSchema, type NodeFeatures} from '../../api/sealed-checkpoint.ts'
import {parsed, type Objects} from './reconcile-context.ts'

export interface Wanted {
  /** What the processes of the checkpoint rely on; undefined: not known yet. */
  readonly source: Pick<NodeFeatures, 'arch' | 'cpuFeatures'> | undefined
  /** Default: the best that each node offers. */
  readonly backend?: Backend | undefined
  /** Default: any. */
  readonly node?: string | undefined
  readonly exceptNode?: string | undefined
  /** Spec of the pod. */
  readonly spec: unknown
  /** Those of its volumes that only some nodes have. */
  readonly volumes: readonly BoundVolume[]
}

/** A volume with the nodes that it is to be had on. */
export interface BoundVolume {
  readonly claim: string
  readonly terms: z.output<typeof nodeTermsSchema>
}

export interface Candidate {
  readonly node: Node
  readonly backend: Backend
}

export interface Placement {
  /** Best first: those with the most room. */
  readonly candidates: readonly Candidate[]
  readonly refused: readonly {readonly node: string; readonly why: string}[]
}

const expressionSchema = z.looseObject({
  key: z.string(),
  operator: z.string(),
  values: z.array(z.string()).optional(),
})
const termSchema = z.looseObject({
  matchExpressions: z.array(expressionSchema).optional(),
  matchFields: z.array(expressionSchema).optional(),
})
export const nodeTermsSchema = z.looseObject({nodeSelectorTerms: z.array(termSchema)})
const specSchema = podSchema.shape.spec.extend({
  affinity: z
    .looseObject({
      nodeAffinity: z
        .looseObject({requiredDuringSchedulingIgnoredDuringExecution: nodeTermsSchema.optional()})
        .optional(),
    })
    .optional(),
})
type Spec = z.output<typeof specSchema>

/** Which nodes can take a pod that goes on from a checkpoint, and why the others cannot. */
export function placementOf(wanted: Wanted, objects: Objects): Placement {
  const spec = specSchema.parse(wanted.spec)
  const free = freeRoom(objects)
  const candidates: (Candidate & {readonly room: number})[] = []
  const refused: {node: string; why: string}[] = []
  for (const node of parsed(objects.list('Node'), nodeSchema)) {
    const {name} = node.metadata
    if (wanted.node !== undefined && wanted.node !== name) continue
    const backend = backendOf(node, wanted.backend)
    const why = whyNot(node, {...wanted, backend}, wanted.backend, spec, free.get(name))
    if (why === undefined && backend !== undefined)
      candidates.push({node, backend, room: free.get(name)?.['memory'] ?? 0})
    else refused.push({node: name, why: why ?? 'it cannot restore checkpoints'})
  }
  if (wanted.node !== undefined && candidates.length + refused.length === 0)
    refused.push({node: wanted.node, why: 'the node does not exist'})
  const best = (one: Candidate) => backends.indexOf(one.backend)
  return {
    candidates: candidates.toSorted((one, other) => best(one) - best(other) || other.room - one.room),
    refused,
  }
}

/** Whether what keeps the pod off every node is that its processes rely on what those have not. */
export function isUnlikeAll({source, node: wanted}: Wanted, objects: Objects): boolean {
  const nodes = parsed(objects.list('Node'), nodeSchema).filter(
    ({metadata}) => wanted === undefined || metadata.name === wanted,
  )
  return (
    source !== undefined &&
    nodes.length > 0 &&
    nodes.map(nodeFeaturesOf).every((there) => there !== undefined && unlike(source, there) !== undefined)
  )
}

/** `worker-1: it is cordoned; worker-2: …`, for people. */
export const refusalText = ({refused}: Placement): string =>
  refused.map(({node, why}) => `${node}: ${why}`).join('; ') || 'the cluster has no nodes'

/** What a node said of itself; undefined: nothing yet. */
export function nodeFeaturesOf(node: Node): NodeFeatures | undefined {
  const text = node.metadata.annotations[NODE_FEATURES_ANNOTATION]
  if (text === undefined) return undefined
  const {data} = z
    .string()
    .transform((json, context) => {
      try {
        return JSON.parse(json) as unknown
      } catch {
        context.addIssue('not JSON')
        return z.NEVER
      }
    })
    .pipe(nodeFeaturesSchema)
    .safeParse(text)
  return data
}

export const isNodeReady = ({status}: Node): boolean =>
  (status.conditions ?? []).some((condition) => condition.type === 'Ready' && condition.status === 'True')

function backendOf({metadata: {labels}}: Node, wanted: Backend | undefined): Backend | undefined {
  const offered = backends
    .filter((backend) => labels[BACKEND_LABELS[backend]] === 'true')
    .filter((backend) => backend !== 'CreateImage' || labels[CHECKPOINT_IMAGES_LABEL] === 'true')
  return wanted === undefined ? offered[0] : offered.find((backend) => backend === wanted)
}

/** Of a node that does not offer the backend that is wanted, or none at all. */
function whyUnsupported({metadata}: Node, wanted: Backend | undefined): string {
  const offered = backends.filter((backend) => metadata.labels[BACKEND_LABELS[backend]] === 'true')
  const isPooled = metadata.labels[CHECKPOINT_IMAGES_LABEL] === 'true'
  if (!isPooled && (wanted === 'CreateImage' || offered.join() === 'CreateImage'))
    return `it does not accept checkpoint images: it lacks the label ${CHECKPOINT_IMAGES_LABEL}=true`
  return offered.length > 0
    ? `its runtime supports the backend ${offered.join(', ')}, not ${wanted ?? 'the requested one'}`
    : "its runtime cannot restore checkpoints; use containerd 2.x with clouder's handler (clouder kubeadm init sets it up), or containerd 2.1 to 2.3 with checkpoint.restore: trusted-images"
}

function whyNot(
  node: Node,
  wanted: Wanted,
  asked: Backend | undefined,
  spec: Spec,
  free: Room | undefined,
): string | undefined {
  const {metadata} = node
  if (metadata.name === wanted.exceptNode) return 'the pod runs there already'
  if (metadata.deletionTimestamp !== undefined) return 'it is being deleted'
  if (!isNodeReady(node)) return 'it is not ready'
  if (node.spec.unschedulable === true) return 'it is cordoned'
  if (wanted.backend === undefined) return whyUnsupported(node, asked)
  const nodeFeatures = nodeFeaturesOf(node)
  if (nodeFeatures === undefined) return 'its node agent has not published its features yet'
  const difference = wanted.source === undefined ? undefined : unlike(wanted.source, nodeFeatures)
  if (difference !== undefined) return difference
  const taint = node.spec.taints?.find(({effect, key, value}) => {
    // The pod is given what lets it there.
    if (wanted.backend === 'CreateImage' && key === CHECKPOINT_IMAGES_LABEL) return false
    const tolerated = (spec.tolerations ?? []).some(
      (toleration) =>
        (toleration.effect === undefined || toleration.effect === '' || toleration.effect === effect) &&
        (toleration.key === undefined || toleration.key === '' || toleration.key === key) &&
        (toleration.operator === 'Exists' || (toleration.value ?? '') === (value ?? '')),
    )
    return effect !== 'PreferNoSchedule' && !tolerated
  })
  if (taint !== undefined) return `its taint ${taint.key} is not tolerated`
  if (!Object.entries(spec.nodeSelector ?? {}).every(([key, value]) => metadata.labels[key] === value))
    return 'its labels do not match the node selector of the pod'
  const terms = spec.affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
  if (terms !== undefined && !matchesTerms(node, terms))
    return 'it does not match the node affinity of the pod'
  const elsewhere = wanted.volumes.find((volume) => !matchesTerms(node, volume.terms))
  if (elsewhere !== undefined) return `the volume of claim ${elsewhere.claim} is not available there`
  return lacks(requestsOf(spec), free)
}

const LABEL_OPERATORS = ['In', 'NotIn', 'Exists', 'DoesNotExist'] as const
const isLabelOperator = (text: string): text is (typeof LABEL_OPERATORS)[number] =>
  LABEL_OPERATORS.some((operator) => operator === text)

/** Whether one of the terms holds; an operator that compares numbers is left to the scheduler. */
export function matchesTerms(
  {metadata: {name, labels}}: Node,
  {nodeSelectorTerms}: z.output<typeof nodeTermsSchema>,
): boolean {
  const holds = (expressions: readonly z.output<typeof expressionSchema>[], of: Record<string, string>) =>
    expressions.every(
      ({key, operator, values}) =>
        !isLabelOperator(operator) ||
        selects({matchExpressions: [{key, operator, ...(values === undefined ? {} : {values})}]}, of),
    )
  return nodeSelectorTerms.some(
    ({matchExpressions = [], matchFields = []}) =>
      holds(matchExpressions, labels) && holds(matchFields, {'metadata.name': name}),
  )
}

type Room = Readonly<Record<string, number>>

/** What pods request, by resource; `pods` counts them. */
function requestsOf({containers}: Pick<Pod['spec'], 'containers'>): Room {
  const sum: Record<string, number> = {pods: 1}
  for (const {resources} of containers)
    for (const [name, text] of Object.entries(resources?.requests ?? {}))
      sum[name] = (sum[name] ?? 0) + quantity(text)
  return sum
}

/** What each node has left for pods. */
function freeRoom(objects: Objects): ReadonlyMap<string, Room> {
  const room = new Map<string, Record<string, number>>()
  for (const {metadata, status} of parsed(objects.list('Node'), nodeSchema)) {
    const all = Object.entries(status.allocatable ?? {})
    room.set(metadata.name, Object.fromEntries(all.map(([name, text]) => [name, quantity(text)])))
  }
  for (const {spec, status} of parsed(objects.list('Pod'), podSchema)) {
    const left = room.get(spec.nodeName ?? '')
    if (left === undefined || status.phase === 'Succeeded' || status.phase === 'Failed') continue
    for (const [name, amount] of Object.entries(requestsOf(spec)))
      if (left[name] !== undefined) left[name] -= amount
  }
  return room
}

function lacks(requests: Room, free: Room | undefined): string | undefined {
  const short = Object.entries(requests).find(([name, amount]) => {
    const left = free?.[name]
    return left !== undefined && amount > left
  })
  return short === undefined ? undefined : `it does not have enough ${short[0]} left`
}
