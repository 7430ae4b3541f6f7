import {z} from 'zod'
import {objectNameSchema} from '../checkpoint-store.ts'

/** Of an object of the cluster. */
export const name = objectNameSchema

/** An amount as Kubernetes writes it: `250m`, `1.5Gi`. */
export const quantitySchema = z
  .string()
  .max(32)
  .regex(/^\d+(?:\.\d+)?(?:[eE][+-]?\d{1,2}|m|k|Ki|M|Mi|G|Gi|T|Ti|P|Pi|E|Ei)?$/)

export const metadataSchema = z.looseObject({
  name: z.string(),
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
  observedGeneration: z.int().min(0).optional(),
})

/** How long a Restore or a Migration that is over is kept; default: a day. */
export const ttlSecondsAfterFinished = z.int().min(0).max(2_147_483_647).optional()
