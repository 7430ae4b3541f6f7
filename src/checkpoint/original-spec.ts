import {z} from 'zod'
import {CHECKPOINT_IMAGE_PREFIX, ORIGINAL_ANNOTATION} from '../api/names.ts'

/** What backend CreateImage changes in the spec of a pod, as it was: the value of ORIGINAL_ANNOTATION. */
export const originalSpecSchema = z.strictObject({
  containers: z.record(
    z.string(),
    z.strictObject({image: z.string(), imagePullPolicy: z.string().optional()}),
  ),
  nodeSelector: z.record(z.string(), z.string()).optional(),
  tolerations: z.array(z.looseObject({})).optional(),
})
export type OriginalSpec = z.output<typeof originalSpecSchema>

const jsonSchema = z.string().transform((text, context): unknown => {
  try {
    return JSON.parse(text)
  } catch {
    context.addIssue('it is not JSON')
    return z.NEVER
  }
})

/**
 * What a pod was before its images were made of a checkpoint; undefined: it is as somebody wrote it. The annotation
 * counts only where such an image runs, which admission takes from the controller alone, and names no such image itself.
 */
export function originalSpecOf(pod: {
  readonly metadata: {readonly annotations?: Readonly<Record<string, string>> | undefined}
  readonly spec: {readonly containers: readonly object[]}
}): OriginalSpec | undefined {
  const kept = jsonSchema.pipe(originalSpecSchema).safeParse(pod.metadata.annotations?.[ORIGINAL_ANNOTATION])
  if (
    !kept.success ||
    !pod.spec.containers.some((container) => 'image' in container && isOfCheckpoint(container.image))
  )
    return undefined
  return Object.values(kept.data.containers).some(({image}) => isOfCheckpoint(image)) ? undefined : kept.data
}

const isOfCheckpoint = (image: unknown): boolean =>
  typeof image === 'string' && image.startsWith(CHECKPOINT_IMAGE_PREFIX)
