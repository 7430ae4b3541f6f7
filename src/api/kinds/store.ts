import {z} from 'zod'
import {storeSpecSchema} from '../checkpoint-store.ts'
import {metadataSchema, conditionSchema} from './metadata.ts'

export const checkpointStoreSchema = z
  .looseObject({
    metadata: metadataSchema,
    spec: storeSpecSchema.describe(
      'spec is where checkpoints are stored and how they are encrypted. Credentials are in Secrets.',
    ),
    status: z
      .looseObject({
        inUse: z
          .boolean()
          .optional()
          .describe(
            'inUse is whether a Checkpoint is stored in it. As long as one is, the location of the store cannot be changed.',
          ),
        conditions: z
          .array(conditionSchema)
          .optional()
          .describe('conditions are Ready: whether the store is reachable.'),
      })
      .describe('status is the state of the store. It is written by clouder.')
      .optional(),
  })
  .describe('CheckpointStore is where checkpoints are stored, with its keys and its retention.')
export type CheckpointStore = z.output<typeof checkpointStoreSchema>
