import {z} from 'zod'
import {storeSpecSchema} from '../checkpoint-store.ts'
import {metadataSchema, conditionSchema} from './metadata.ts'

export const checkpointStoreSchema = z.looseObject({
  metadata: metadataSchema,
  spec: storeSpecSchema,
  status: z.looseObject({conditions: z.array(conditionSchema).optional()}).optional(),
})
export type CheckpointStore = z.output<typeof checkpointStoreSchema>
