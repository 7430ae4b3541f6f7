import type {z} from 'zod'
import type {conditionSchema} from '../api/resources.ts'
import {timeText} from '../base/time.ts'

type Condition = z.output<typeof conditionSchema>

/** A condition as somebody finds it who looks at an object. */
export interface ObservedCondition {
  readonly type: string
  readonly status: Condition['status']
  readonly reason: string
  readonly message: string
}

/**
 * The conditions with one written anew, as observed of the object's `generation`; its time changes with its status only.
 */
export function withCondition(
  conditions: readonly Condition[] | undefined,
  next: ObservedCondition,
  {generation, nowMs}: {readonly generation: number | undefined; readonly nowMs: number},
): readonly Condition[] {
  const before = conditions?.find(({type}) => type === next.type)
  const lastTransitionTime =
    before !== undefined && before.status === next.status ? before.lastTransitionTime : timeText(nowMs)
  const observed = generation === undefined ? {} : {observedGeneration: generation}
  const {type, status, reason, message} = next
  const written = {type, status, reason, message, lastTransitionTime, ...observed}
  // In its place: who compares what is there with what it would write finds no difference.
  if (before === undefined) return [...(conditions ?? []), written]
  return conditions?.map((condition) => (condition === before ? written : condition)) ?? []
}
