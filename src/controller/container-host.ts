import {isDeepStrictEqual} from 'node:util'
import {containerHostSchema} from '../checkpoint/resources.ts'
import {withCondition} from './conditions.ts'
import {writeStatus, type Reconciler} from './world.ts'

/** A host that was not heard of for so long counts as gone. */
const STALE_MS = 60_000

/** Tells by condition Ready whether a host was heard of, and whether it takes more. */
export const containerHostReconciler: Reconciler = {
  name: 'container-host',
  kind: 'ContainerHost',
  async reconcile(object, world) {
    const {spec, status = {}} = containerHostSchema.parse(object)
    const beatMs = Date.parse(status.heartbeatAt ?? '')
    const ageMs = world.now() - beatMs
    const next = withCondition(status.conditions, {type: 'Ready', ...verdict(ageMs, spec.drain)}, world.now())
    if (!isDeepStrictEqual(status.conditions, next)) await writeStatus(object, {conditions: next}, world)
    return ageMs < STALE_MS ? {againMs: STALE_MS - ageMs} : undefined
  },
}

function verdict(
  ageMs: number,
  drain: boolean | undefined,
): {status: 'True' | 'False'; reason: string; message: string} {
  if (Number.isNaN(ageMs))
    return {status: 'False', reason: 'NeverHeard', message: 'it has sent no heartbeat yet'}
  if (ageMs >= STALE_MS)
    return {status: 'False', reason: 'Silent', message: `no heartbeat for more than ${STALE_MS / 1000} s`}
  if (drain === true) return {status: 'False', reason: 'Draining', message: 'it takes nothing new'}
  return {status: 'True', reason: 'Heard', message: 'it sends heartbeats'}
}
