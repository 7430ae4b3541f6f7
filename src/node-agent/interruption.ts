import {z} from 'zod'
import {API_VERSION, BACKEND_LABELS} from '../checkpoint/names.ts'
import {nodeSchema, podSchema, type Pod} from '../checkpoint/pod.ts'
import {drainPlan, type PodToMove} from '../checkpoint/policies.ts'
import {checkpointPolicySchema} from '../checkpoint/resources.ts'
import type {KubeClient} from '../kubernetes/types.ts'
import type {Log} from './log.ts'
import {pause} from './queue.ts'

/** Two minutes is what AWS gives, half a minute what Azure gives at least. */
const ASK_EVERY_MS = 5_000
/** Where there is no metadata service, it is looked for again. */
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

/** Asks the cloud until the signal is aborted, and saves the pods that policies opted in, once per notice. */
export async function watchInterruptions(options: InterruptionOptions): Promise<void> {
  const {node, metadataUrl, log, signal} = options
  const seen = new Set<string>()
  while (!signal.aborted) {
    const metadata = await findMetadata(metadataUrl, node, signal)
    if (metadata === undefined) await pause(LOOK_EVERY_MS, signal)
    else await follow(metadata, seen, options)
  }
  log('info', 'no longer asks the cloud')
}

/** Until the service does not answer any more. */
async function follow(metadata: Metadata, seen: Set<string>, options: InterruptionOptions): Promise<void> {
  const {log, signal} = options
  while (!signal.aborted) {
    const notices = await metadata.notices(signal).catch((error: unknown) => {
      if (!signal.aborted) log('warn', 'the metadata service does not answer', {error: String(error)})
      return undefined
    })
    if (notices === undefined) return
    for (const notice of notices) {
      if (seen.has(notice.id)) continue
      log('warn', 'this machine will be taken away', {
        cloud: metadata.cloud,
        notice: notice.kind,
        id: notice.id,
      })
      // Only what has been asked for counts as done.
      await savePods(options).then(
        () => seen.add(notice.id),
        (error: unknown) => log('warn', 'pods could not be saved yet', {error: String(error)}),
      )
    }
    await pause(ASK_EVERY_MS, signal)
  }
}

/**
 * Asks for every pod of this node that a policy with `onInterruption` opted in to be moved; where no other node
 * restores, for a checkpoint of it. Done twice it asks once.
 */
export async function savePods({
  node,
  kube,
  log,
}: Pick<InterruptionOptions, 'node' | 'kube' | 'log'>): Promise<number> {
  const pods = (await kube.list({apiVersion: 'v1', kind: 'Pod'}))
    .map((object) => podSchema.parse(object))
    .filter(({spec}) => spec.nodeName === node)
  const policies = (await kube.list({apiVersion: API_VERSION, kind: 'CheckpointPolicy'})).map((object) =>
    checkpointPolicySchema.parse(object),
  )
  const {move} = drainPlan(pods, policies, 'onInterruption')
  const elsewhere = await hasOtherNode(node, kube)
  for (const one of move) {
    await kube.create(elsewhere ? migrationOf(one) : checkpointOf(one))
    const {namespace, name} = one.pod.metadata
    log('info', elsewhere ? 'asked for a move' : 'asked for a checkpoint', {pod: name, namespace})
  }
  return move.length
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

/** One name per pod, so that an agent that is started anew asks for nothing twice. */
const nameFor = ({metadata}: Pod): string =>
  `interruption-${metadata.name.slice(0, 200)}-${metadata.uid.slice(0, 8)}`

const migrationOf = ({pod, policy, store}: PodToMove) => ({
  apiVersion: API_VERSION,
  kind: 'Migration',
  metadata: {name: nameFor(pod), namespace: pod.metadata.namespace},
  spec: {pod: pod.metadata.name, store, owner: `policy/${policy}`},
})

const checkpointOf = ({pod, policy, store}: PodToMove) => ({
  apiVersion: API_VERSION,
  kind: 'Checkpoint',
  metadata: {name: nameFor(pod), namespace: pod.metadata.namespace},
  spec: {
    pod: {name: pod.metadata.name, uid: pod.metadata.uid},
    store,
    after: 'run',
    owner: `policy/${policy}`,
  },
})
