import {z} from 'zod'
import {retentionSchema, secondsSchema} from '../checkpoint-store.ts'
import {podPolicySchema} from './checkpoint.ts'
import {name, metadataSchema, conditionSchema, quantitySchema} from './metadata.ts'

const requirementSchema = z.strictObject({
  key: z.string().describe('key is the key of the label.'),
  operator: z
    .enum(['In', 'NotIn', 'Exists', 'DoesNotExist'])
    .describe(
      'operator relates the label to values. One of In, NotIn, Exists and DoesNotExist, as in Kubernetes.',
    ),
  values: z.array(z.string()).optional().describe('values are the values of the label, with In and NotIn.'),
})

export const policySpecSchema = z
  .strictObject({
    selector: z
      .strictObject({
        matchLabels: z
          .record(z.string(), z.string())
          .optional()
          .describe('matchLabels are labels that the pods have.'),
        matchExpressions: z
          .array(requirementSchema)
          .optional()
          .describe('matchExpressions are requirements on the labels of the pods.'),
      })
      .describe('selector selects the pods of the namespace by their labels. If empty, it selects all.'),
    schedule: z
      .string()
      .optional()
      .describe(
        'schedule is when a checkpoint of each pod is created, in cron syntax with five fields, in timeZone.',
      ),
    timeZone: z
      .string()
      .optional()
      .describe('timeZone is the time zone of schedule, for example Europe/Berlin. Defaults to UTC.'),
    idle: z
      .strictObject({
        cpu: quantitySchema.describe(
          'cpu is the CPU usage of the pod below which it is idle, for example 10m.',
        ),
        durationSeconds: secondsSchema.describe(
          'durationSeconds is the number of seconds for which the pod has to be idle.',
        ),
        podPolicy: podPolicySchema
          .exclude(['Freeze'])
          .describe(
            'podPolicy defines what happens to the pod once its memory is dumped. One of Resume and Delete. With Delete a Runtime is paused.',
          ),
      })
      .optional()
      .describe('idle creates a checkpoint of each pod that has been idle for some time.'),
    migrateOnDrain: z
      .boolean()
      .optional()
      .describe(
        'migrateOnDrain moves the pods, instead of evicting them, when their node is drained by clouder node drain --checkpoint.',
      ),
    checkpointOnInterruption: z
      .boolean()
      .optional()
      .describe(
        'checkpointOnInterruption saves the pods when the cloud announces that it interrupts their spot machine. A pod is moved if another node can run it, and checkpointed otherwise.',
      ),
    storeName: name
      .default('default')
      .describe(
        'storeName is the name of the CheckpointStore that the checkpoints are stored in. Defaults to default.',
      ),
    retention: retentionSchema
      .optional()
      .describe('retention is how many checkpoints of the policy are kept. By default all are.'),
    suspend: z
      .boolean()
      .optional()
      .describe(
        'suspend stops the policy. Checkpoints and moves that it has started continue. Defaults to false.',
      ),
  })
  .describe('spec is which pods are checkpointed and when.')
export const policyStatusSchema = z
  .looseObject({
    observedGeneration: z
      .int()
      .optional()
      .describe('observedGeneration is the generation of the spec that the status describes.'),
    lastScheduleTime: z
      .string()
      .optional()
      .describe('lastScheduleTime is the last time of the schedule at which checkpoints were created.'),
    nextScheduleTime: z.string().optional().describe('nextScheduleTime is the next time of the schedule.'),
    pods: z.int().optional().describe('pods is the number of pods that are selected.'),
    checkpoints: z
      .int()
      .optional()
      .describe('checkpoints is the number of checkpoints that the policy has created and that still exist.'),
    conditions: z
      .array(conditionSchema)
      .optional()
      .describe('conditions are Valid: whether the schedule is valid.'),
  })
  .describe('status is the state of the policy. It is written by clouder.')
export const checkpointPolicySchema = z
  .looseObject({
    metadata: metadataSchema,
    spec: policySpecSchema,
    status: policyStatusSchema.optional(),
  })
  .describe(
    'CheckpointPolicy creates checkpoints of pods on a schedule, when they are idle, and before their node is drained or interrupted.',
  )
export type CheckpointPolicy = z.output<typeof checkpointPolicySchema>
