import {z} from 'zod'

/** What backend create-image changes in the spec of a pod, as it was: the value of ORIGINAL_ANNOTATION. */
export const originalSpecSchema = z.strictObject({
  containers: z.record(
    z.string(),
    z.strictObject({image: z.string(), imagePullPolicy: z.string().optional()}),
  ),
  nodeSelector: z.record(z.string(), z.string()).optional(),
  tolerations: z.array(z.looseObject({})).optional(),
})
export type OriginalSpec = z.output<typeof originalSpecSchema>
