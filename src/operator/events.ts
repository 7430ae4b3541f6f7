import type {Log} from './log.ts'
import {createHash} from 'node:crypto'
import type {KubeClient, KubeObject} from '../kubernetes/types.ts'
import {objectName} from '../api/object-names.ts'
import {timeText} from '../base/time.ts'

const MOST_OF_NAME = 253

/** Who tells an event, and by what. */
export interface EventSource {
  readonly kube: Pick<KubeClient, 'create'>
  /** Name of the program, as `kubectl describe` shows it. */
  readonly component: string
  readonly log: Log
  /** Milliseconds since the epoch. */
  readonly now: () => number
}

/** Tells something of an object where `kubectl describe` shows it; told twice it is there once. */
export async function recordEvent(
  object: KubeObject,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
  source: EventSource,
): Promise<void> {
  const {apiVersion, kind, metadata} = object
  const {name, uid, namespace} = metadata
  const at = timeText(source.now())
  const digest = createHash('sha256').update(`${uid} ${reason} ${message}`).digest('hex').slice(0, 16)
  const place = namespace ?? 'default'
  const event: KubeObject = {
    apiVersion: 'v1',
    kind: 'Event',
    metadata: {name: objectName([name, digest], MOST_OF_NAME), namespace: place},
    involvedObject: {apiVersion, kind, name, uid, ...(namespace === undefined ? {} : {namespace})},
    type,
    reason,
    message: message.slice(0, 1000),
    source: {component: source.component},
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  }
  // It is told for people: that it cannot be is no reason to stop.
  await source.kube.create(event).catch((error: unknown) => {
    source.log('warn', 'event not recorded', {name, reason, error: String(error)})
  })
}
