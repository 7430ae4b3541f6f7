import {z} from 'zod'
import {nodeFeaturesSchema} from '../sealed-checkpoint.ts'
import {metadataSchema, conditionSchema} from './metadata.ts'

export const containerHostSpecSchema = z.strictObject({
  /** Capabilities it was enrolled with: `gpu: a10`. Placement is by them. */
  capabilities: z.record(z.string(), z.string()).optional(),
  /** Containers it takes at once. */
  slots: z.int().min(1).default(1),
  drain: z.boolean().optional(),
})
export const containerHostSchema = z.looseObject({
  metadata: metadataSchema,
  spec: containerHostSpecSchema,
  status: z
    .looseObject({
      heartbeatAt: z.string().optional(),
      /** Whether it has joined: a node of its name, whose kubelet tells how it is. */
      isNode: z.boolean().optional(),
      version: z.string().optional(),
      nodeFeatures: nodeFeaturesSchema.partial().optional(),
      running: z.array(z.string()).optional(),
      conditions: z.array(conditionSchema).optional(),
    })
    .optional(),
})
export type ContainerHost = z.output<typeof containerHostSchema>
