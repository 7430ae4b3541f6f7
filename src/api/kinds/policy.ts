import {z} from 'zod'
import {durationSchema, retentionSchema} from '../checkpoint-store.ts'
import {podPolicySchema} from './checkpoint.ts'
import {name, metadataSchema, conditionSchema, quantitySchema} from './metadata.ts'

export const policySpecSchema = z.strictObject({
  selector: z.strictObject({
    matchLabels: z.record(z.string(), z.string()).optional(),
    matchExpressions: z
      .array(
        z.strictObject({
          key: z.string(),
          operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
          values: z.array(z.string()).optional(),
        }),
      )
      .optional(),
  }),
  /** Five fields of cron, in `timeZone` (default UTC). */
  schedule: z.string().optional(),
  timeZone: z.string().optional(),
  /** All of the pod below `cpu` (`10m`) for `for`. */
  idle: z
    .strictObject({cpu: quantitySchema, for: durationSchema, podPolicy: podPolicySchema.exclude(['Freeze'])})
    .optional(),
  /** Moved instead of killed when its node is drained by `clouder node drain --checkpoint`. */
  onDrain: z.boolean().optional(),
  /** Checkpointed and pushed when the cloud announces the end of its spot machine; moved when another node can take it. */
  onInterruption: z.boolean().optional(),
  store: name.default('default'),
  retention: retentionSchema.optional(),
  suspend: z.boolean().optional(),
})
export const policyStatusSchema = z.looseObject({
  observedGeneration: z.int().optional(),
  lastScheduledAt: z.string().optional(),
  nextScheduledAt: z.string().optional(),
  pods: z.int().optional(),
  checkpoints: z.int().optional(),
  conditions: z.array(conditionSchema).optional(),
})
export const checkpointPolicySchema = z.looseObject({
  metadata: metadataSchema,
  spec: policySpecSchema,
  status: policyStatusSchema.optional(),
})
export type CheckpointPolicy = z.output<typeof checkpointPolicySchema>
