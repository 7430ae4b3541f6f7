import {z} from 'zod'
import {conditionSchema, type ResourceKind} from '../api/resources.ts'
import {withCondition, type ObservedCondition} from './conditions.ts'

/** Kinds that are in a phase: their conditions, and the phases in which each is true. */
const PHASES: Partial<Record<ResourceKind, Readonly<Record<string, readonly string[]>>>> = {
  Checkpoint: {Ready: ['Ready'], Failed: ['Failed']},
  Restore: {Complete: ['Restored'], Failed: ['Failed']},
  Migration: {Complete: ['Succeeded'], Failed: ['RolledBack', 'Failed']},
  Runtime: {Ready: ['Running'], Paused: ['Paused'], Failed: ['Failed']},
}

const writtenSchema = z.looseObject({
  phase: z.string(),
  reason: z.string().nullish(),
  message: z.string().nullish(),
})
const knownSchema = z.looseObject({
  status: z.looseObject({conditions: z.array(conditionSchema).optional().catch(undefined)}).optional(),
})

interface PhasedObject {
  readonly kind: string
  readonly metadata: {readonly generation?: number | undefined}
  readonly status?: unknown
}

/**
 * A status that is about to be written, with the conditions that tell its phase, so that `kubectl wait
 * --for=condition=…` works. As it is where it has no phase, or its kind has no such conditions.
 */
export function withPhaseConditions(object: PhasedObject, status: object, nowMs: number): object {
  const phases = PHASES[object.kind as ResourceKind]
  const written = writtenSchema.safeParse(status).data
  if (phases === undefined || written === undefined) return status
  const {generation} = object.metadata
  let {conditions} = knownSchema.parse(object).status ?? {}
  for (const [type, those] of Object.entries(phases))
    conditions = [...withCondition(conditions, observed(type, those, written), {generation, nowMs})]
  return {...status, conditions}
}

function observed(
  type: string,
  phases: readonly string[],
  {phase, reason, message}: z.output<typeof writtenSchema>,
): ObservedCondition {
  if (!phases.includes(phase)) return {type, status: 'False', reason: phase, message: ''}
  return {type, status: 'True', reason: reason ?? phase, message: message ?? ''}
}
