import {z} from 'zod'
import {textAtMost} from '../../base/bounded.ts'
import type {Notice} from '../../checkpoint/interruption.ts'
import {INTERRUPTION_ANNOTATION} from '../../api/names.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {pauseQuietly} from '../../base/waiting.ts'
import type {Log} from '../../operator/log.ts'

/** Two minutes is what AWS gives, half a minute what Azure gives at least. */
const ASK_EVERY_MS = 5_000
/** Where no metadata service ever answered, it is looked for less and less often. */
const LOOK_EVERY_MS = 10 * 60_000
const REQUEST_MS = 2_000
const MAX_ANSWER_BYTES = 1024 ** 2

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
    if (token === undefined) throw new Error('the metadata service returned no token')
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
      if (text === undefined) throw new Error('the metadata service has no scheduled events')
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
  const text = await textAtMost(response, url, MAX_ANSWER_BYTES)
  if (response.status === 404) return undefined
  if (!response.ok) throw new Error(`${url} responded with HTTP status ${response.status}`)
  return text
}

export interface InterruptionOptions {
  readonly node: string
  readonly kube: Pick<KubeClient, 'patch'>
  /** `http://169.254.169.254`. */
  readonly metadataUrl: string
  readonly log: Log
  /** Default: 5 s. */
  readonly everyMs?: number
  readonly signal: AbortSignal
}

/** Asks the cloud until the signal is aborted, and reports its notices on the own Node, for the controller to act on. */
export async function watchInterruptions(options: InterruptionOptions): Promise<void> {
  const {node, metadataUrl, log, everyMs = ASK_EVERY_MS, signal} = options
  let lookMs = everyMs
  let isCloud = false
  while (!signal.aborted) {
    const metadata = await findMetadata(metadataUrl, node, signal)
    if (metadata !== undefined) await follow(metadata, options)
    isCloud ||= metadata !== undefined
    // One that has answered before is only away for a moment.
    await pauseQuietly(isCloud ? everyMs : lookMs, signal)
    lookMs = Math.min(LOOK_EVERY_MS, lookMs * 2)
  }
  log('info', 'no longer polls the metadata service for interruption notices')
}

/** Until the service does not answer any more. */
async function follow(metadata: Metadata, options: InterruptionOptions): Promise<void> {
  const {log, everyMs = ASK_EVERY_MS, signal} = options
  // Not known at first: an agent before this one may have reported what is over.
  let reported: string | null | undefined
  while (!signal.aborted) {
    const notices = await metadata.notices(signal).catch((error: unknown) => {
      if (!signal.aborted) log('warn', 'the metadata service does not respond', {error: String(error)})
      return undefined
    })
    if (notices === undefined) return
    const text = notices.length === 0 ? null : JSON.stringify(notices)
    if (text !== reported) {
      try {
        await report(text, options)
        reported = text
        if (text !== null)
          log('warn', 'the cloud will interrupt this machine', {cloud: metadata.cloud, notices})
      } catch (error) {
        log('warn', 'could not report interruption notices yet', {error: String(error)})
      }
    }
    await pauseQuietly(everyMs, signal)
  }
}

const report = (text: string | null, {node, kube}: InterruptionOptions): Promise<unknown> =>
  kube.patch(
    {apiVersion: 'v1', kind: 'Node', name: node},
    {metadata: {annotations: {[INTERRUPTION_ANNOTATION]: text}}},
  )
