import {z} from 'zod'

/** Of an object of the cluster. */
export const name = z.string().min(1).max(253)
export const metadataSchema = z.looseObject({
  name,
  namespace: z.string().optional(),
  uid: z.string().optional(),
  resourceVersion: z.string().optional(),
  generation: z.int().optional(),
  creationTimestamp: z.string().optional(),
  deletionTimestamp: z.string().optional(),
  finalizers: z.array(z.string()).optional(),
  labels: z.record(z.string(), z.string()).optional(),
  annotations: z.record(z.string(), z.string()).optional(),
})

export const conditionSchema = z.looseObject({
  type: z.string(),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string(),
  message: z.string(),
  lastTransitionTime: z.string(),
})

/** How long a Restore or a Migration that is over is kept; default: a day. */
export const ttlSecondsAfterFinished = z.int().min(0).optional()
