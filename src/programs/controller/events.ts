import {createHash} from 'node:crypto'
import type {KubeObject} from '../../kubernetes/types.ts'
import {objectName} from '../../api/object-names.ts'
import {timeText, type World} from './reconcile-context.ts'

const MOST_OF_NAME = 253

/** Tells something of an object where `kubectl describe` shows it; told twice it is there once. */
export async function tellEvent(
  object: KubeObject,
  type: 'Normal' | 'Warning',
  reason: string,
  message: string,
  world: World,
): Promise<void> {
  const {apiVersion, kind, metadata} = object
  const {name, uid, namespace} = metadata
  const at = timeText(world.now())
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
    source: {component: 'clouder-controller'},
    firstTimestamp: at,
    lastTimestamp: at,
    count: 1,
  }
  // It is told for people: that it cannot be is no reason to stop.
  await world.kube.create(event).catch((error: unknown) => {
    world.log('warn', 'an event was not told', {name, reason, error: String(error)})
  })
}
