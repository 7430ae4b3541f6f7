import {createHash} from 'node:crypto'
import {z} from 'zod'
import {isOver} from '../checkpoint/ends.ts'
import {API_VERSION, BACKEND_LABELS, POLICY_LABEL} from '../checkpoint/names.ts'
import {nodeSchema, podSchema, type Pod} from '../checkpoint/pod.ts'
import {drainPlan, type PodToMove} from '../checkpoint/policies.ts'
import {checkpointPolicySchema, migrationSchema} from '../checkpoint/resources.ts'
import type {KubeClient} from '../kubernetes/types.ts'
import type {Log} from './log.ts'
import {pause} from './queue.ts'

/** Two minutes is what AWS gives, half a minute what Azure gives at least. */
const ASK_EVERY_MS = 5_000
/** Where no metadata service ever answered, it is looked for less and less often. */
const LOOK_EVERY_MS = 10 * 60_000
const REQUEST_MS = 2_000

/** An announcement that this machine will be taken away. */
export interface Notice {
  /** The same one has the same id, each time it is asked for. */
  readonly id: string
  readonly kind: 'terminate' | 'rebalance'
}

/** The metadata service of a cloud, as seen from this machine. */
export interface Metadata {
  readonly cloud: 'aws' | 'azure'
  notices(signal: AbortSignal): Promise<readonly Notice[]>
}

/** The service that answers at that address; undefined: none does. */
export async function findMetadata(
  url: string,
  node: string,
  signal: AbortSignal,
): Promise<Metadata | undefined> {
  for (const metadata of [awsMetadata(url), azureMetadata(url, node)]) {
    try {
      await metadata.notices(signal)
      return metadata
    } catch {
      // Another cloud's, or none.
      signal.throwIfAborted()
    }
  }
  return undefined
}

const awsActionSchema = z.looseObject({action: z.string(), time: z.string()})

/** Instance metadata service, version 2: every question needs a token of a session. */
function awsMetadata(url: string): Metadata {
  const ask = async (path: string, signal: AbortSignal): Promise<string | undefined> => {
    const token = await request(`${url}/latest/api/token`, signal, {
      method: 'PUT',
      headers: {'x-aws-ec2-metadata-token-ttl-seconds': '60'},
    })
    if (token === undefined) throw new Error('no token is given')
    return request(`${url}/latest/meta-data/${path}`, signal, {headers: {'x-aws-ec2-metadata-token': token}})
  }
  return {
    cloud: 'aws',
    async notices(signal) {
      const action = await ask('spot/instance-action', signal)
      const rebalance = await ask('events/recommendations/rebalance', signal)
      return [
        ...(action === undefined
          ? []
          : [{id: awsActionSchema.parse(JSON.parse(action)).time, kind: 'terminate' as const}]),
        ...(rebalance === undefined ? [] : [{id: rebalance, kind: 'rebalance' as const}]),
      ]
    },
  }
}

const azureEventsSchema = z.looseObject({
  Events: z.array(
    z.looseObject({EventId: z.string(), EventType: z.string(), Resources: z.array(z.string()).default([])}),
  ),
})

/** Scheduled events: those that end this machine. */
function azureMetadata(url: string, node: string): Metadata {
  return {
    cloud: 'azure',
    async notices(signal) {
      const text = await request(`${url}/metadata/scheduledevents?api-version=2020-07-01`, signal, {
        headers: {Metadata: 'true'},
      })
      if (text === undefined) throw new Error('there are no scheduled events')
      const {Events} = azureEventsSchema.parse(JSON.parse(text))
      const ending = Events.filter(
        ({EventType, Resources}) =>
          ['Preempt', 'Terminate'].includes(EventType) &&
          (Resources.length === 0 || Resources.some((name) => name === node || name.endsWith(`_${node}`))),
      )
      return ending.map(({EventId}) => ({id: EventId, kind: 'terminate'}))
    },
  }
}

/** Undefined: 404, which here means that there is nothing to tell. */
async function request(url: string, signal: AbortSignal, init: RequestInit): Promise<string | undefined> {
  const response = await fetch(url, {
    ...init,
    signal: AbortSignal.any([signal, AbortSignal.timeout(REQUEST_MS)]),
  })
  const text = await response.text()
  if (response.status === 404) return undefined
  if (!response.ok) throw new Error(`${url} answered ${response.status}`)
  return text
}

export interface InterruptionOptions {
  readonly node: string
  readonly kube: KubeClient
  /** `http://169.254.169.254`. */
  readonly metadataUrl: string
  readonly log: Log
  readonly signal: AbortSignal
}

/** Asks the cloud until the signal is aborted, and sees to the pods that policies opted in, once per notice. */
export async function watchInterruptions(options: InterruptionOptions): Promise<void> {
  const {node, metadataUrl, log, signal} = options
  const settled = new Set<string>()
  let lookMs = ASK_EVERY_MS
  let isCloud = false
  while (!signal.aborted) {
    const metadata = await findMetadata(metadataUrl, node, signal)
    if (metadata !== undefined) await follow(metadata, settled, options)
    isCloud ||= metadata !== undefined
    // One that has answered before is only away for a moment.
    await pause(isCloud ? ASK_EVERY_MS : lookMs, signal)
    lookMs = Math.min(LOOK_EVERY_MS, lookMs * 2)
  }
  log('info', 'no longer asks the cloud')
}

/** Until the service does not answer any more. */
async function follow(metadata: Metadata, settled: Set<string>, options: InterruptionOptions): Promise<void> {
  const {log, signal} = options
  const told = new Set<string>()
  while (!signal.aborted) {
    const notices = await metadata.notices(signal).catch((error: unknown) => {
      if (!signal.aborted) log('warn', 'the metadata service does not answer', {error: String(error)})
      return undefined
    })
    if (notices === undefined) return
    for (const {id, kind} of notices.filter((notice) => !settled.has(notice.id))) {
      if (!told.has(id))
        log('warn', 'this machine will be taken away', {cloud: metadata.cloud, notice: kind, id})
      told.add(id)
      const left = await savePods(options, id).catch((error: unknown) => {
        log('warn', 'pods could not be saved yet', {error: String(error)})
        return undefined
      })
      if (left === 0) settled.add(id)
    }
    await pause(ASK_EVERY_MS, signal)
  }
}

/**
 * Asks for every pod of this node that a policy with `onInterruption` opted in to be moved; where no other node
 * restores, or its move came to nothing, for a checkpoint of it. Gives how many are still to be looked at again. Done
 * twice it asks once for each notice.
 */
export async function savePods(
  {node, kube, log}: Pick<InterruptionOptions, 'node' | 'kube' | 'log'>,
  noticeId: string,
): Promise<number> {
  // Before the pods: a move that is over here has taken its pod away there.
  const moves = (await kube.list({apiVersion: API_VERSION, kind: 'Migration'})).flatMap(
    (object) => migrationSchema.safeParse(object).data ?? [],
  )
  const pods = (await kube.list({apiVersion: 'v1', kind: 'Pod'}))
    .map((object) => podSchema.parse(object))
    .filter(({spec}) => spec.nodeName === node)
  const policies = (await kube.list({apiVersion: API_VERSION, kind: 'CheckpointPolicy'})).flatMap(
    (object) => checkpointPolicySchema.safeParse(object).data ?? [],
  )
  const {move} = drainPlan(pods, policies, 'onInterruption')
  const elsewhere = move.length > 0 && (await hasOtherNode(node, kube))
  let left = 0
  for (const one of move) {
    const {namespace, name: pod} = one.pod.metadata
    const name = nameFor(one.pod, `${node} ${noticeId}`)
    const itsMoves = moves.filter(({metadata, spec}) => metadata.namespace === namespace && spec.pod === pod)
    const tried = itsMoves.some(({metadata}) => metadata.name === name)
    if (itsMoves.some((migration) => !isOver(migration))) left += 1
    else if (elsewhere && !tried) {
      left += 1
      await kube.create(migrationOf(one, name))
      log('info', 'asked for a move', {pod, namespace})
    } else {
      await kube.create(checkpointOf(one, name))
      log('info', 'asked for a checkpoint', {pod, namespace, moved: tried})
    }
  }
  return left
}

async function hasOtherNode(own: string, kube: KubeClient): Promise<boolean> {
  const nodes = (await kube.list({apiVersion: 'v1', kind: 'Node'})).map((object) => nodeSchema.parse(object))
  return nodes.some(
    ({metadata, spec, status}) =>
      metadata.name !== own &&
      spec.unschedulable !== true &&
      Object.values(BACKEND_LABELS).some((label) => metadata.labels[label] === 'true') &&
      (status.conditions ?? []).some(({type, status: state}) => type === 'Ready' && state === 'True'),
  )
}

/** One name per pod and notice, so that an agent that is started anew asks for nothing twice. */
function nameFor({metadata}: Pod, notice: string): string {
  const digest = createHash('sha256').update(`${metadata.name} ${notice}`).digest('hex').slice(0, 8)
  return `interruption-${metadata.name.slice(0, 200)}-${digest}`
}

const migrationOf = ({pod, policy, store}: PodToMove, name: string) => ({
  apiVersion: API_VERSION,
  kind: 'Migration',
  metadata: {name, namespace: pod.metadata.namespace},
  spec: {pod: pod.metadata.name, store, owner: `policy/${policy}`},
})

const checkpointOf = ({pod, policy, store}: PodToMove, name: string) => ({
  apiVersion: API_VERSION,
  kind: 'Checkpoint',
  metadata: {name, namespace: pod.metadata.namespace, labels: {[POLICY_LABEL]: policy}},
  spec: {
    pod: {name: pod.metadata.name, uid: pod.metadata.uid},
    store,
    after: 'run',
    owner: `policy/${policy}`,
  },
})
