import type {z} from 'zod'
import type {conditionSchema} from '../api/resources.ts'
import {timeText} from '../base/time.ts'

type Condition = z.output<typeof conditionSchema>

/** The conditions with one written anew; its time changes only with its status. */
export function withCondition(
  conditions: readonly Condition[] | undefined,
  next: {
    readonly type: string
    readonly status: Condition['status']
    readonly reason: string
    readonly message: string
  },
  nowMs: number,
): readonly Condition[] {
  const before = conditions?.find(({type}) => type === next.type)
  const lastTransitionTime =
    before !== undefined && before.status === next.status ? before.lastTransitionTime : timeText(nowMs)
  const others = conditions?.filter(({type}) => type !== next.type) ?? []
  return [...others, {...next, lastTransitionTime}]
}
