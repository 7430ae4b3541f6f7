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
  type: z.string().describe('type is the type of the condition.'),
  status: z.enum(['True', 'False', 'Unknown']).describe('status is one of True, False and Unknown.'),
  reason: z.string().describe('reason is why the condition has its status, as one word.'),
  message: z.string().describe('message is a description of the reason, for people.'),
  lastTransitionTime: z.string().describe('lastTransitionTime is the time at which status last changed.'),
  observedGeneration: z
    .int()
    .min(0)
    .optional()
    .describe('observedGeneration is the generation of the object for which the condition was set.'),
})

/** Why the object is in its phase; the codes of errors for a failure. */
export const reason = z
  .string()
  .optional()
  .describe('reason is the reason for the phase, as one word. For a failure it is an error code of clouder.')

export const message = z
  .string()
  .optional()
  .describe('message is the current progress, or what failed and what to do, for people.')

/** Conditions of a kind whose phases end in one that is wished for. */
export const phaseConditions = (wished: 'Ready' | 'Complete') =>
  z
    .array(conditionSchema)
    .optional()
    .describe(`conditions are ${wished} and Failed, as kubectl wait understands them.`)

export const runtimeConditions = z
  .array(conditionSchema)
  .optional()
  .describe('conditions are Ready (the runtime runs), Paused and Failed, as kubectl wait understands them.')

export const ttlSecondsAfterFinished = (kind: string) =>
  z
    .int()
    .min(0)
    .max(2_147_483_647)
    .optional()
    .describe(
      `ttlSecondsAfterFinished is the number of seconds after which a ${kind} that has finished is deleted. Defaults to 86400, one day.`,
    )
