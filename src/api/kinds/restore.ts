import {z} from 'zod'
import {name, metadataSchema, ttlSecondsAfterFinished} from './metadata.ts'

export const backends = ['native', 'handler', 'create-image'] as const
export type Backend = (typeof backends)[number]

export const restoreSpecSchema = z.strictObject({
  /** Name of a Checkpoint of the same namespace. */
  checkpoint: name,
  /** Default: the name of the pod that it was made of. */
  podName: name.optional(),
  /** Default: the scheduler chooses among nodes that can. */
  node: name.optional(),
  /** Default: the best that the node offers. */
  backend: z.enum(backends).optional(),
  ttlSecondsAfterFinished,
})
export const restoreStatusSchema = z.looseObject({
  phase: z.enum(['Pending', 'Preparing', 'Starting', 'Restored', 'Failed']).optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
  backend: z.enum(backends).optional(),
  podUid: z.string().optional(),
  node: z.string().optional(),
  /** Backend create-image: by container, the image that the agent of `node` made of the checkpoint, by digest. */
  images: z.record(z.string(), z.string()).optional(),
  /** Backend create-image: images of its containers that `node` has to pull before; and whether it has. */
  missingImages: z.array(z.string()).optional(),
  pulled: z.boolean().optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
})
export const restoreSchema = z.looseObject({
  metadata: metadataSchema,
  spec: restoreSpecSchema,
  status: restoreStatusSchema.optional(),
})
export type Restore = z.output<typeof restoreSchema>
