import {z} from 'zod'
import {message, metadataSchema, name, phaseConditions, reason, ttlSecondsAfterFinished} from './metadata.ts'

export const backends = ['Native', 'Handler', 'CreateImage'] as const
export type Backend = (typeof backends)[number]

export const restoreSpecSchema = z
  .strictObject({
    checkpointName: name.describe(
      'checkpointName is the name of a Checkpoint in the namespace of the Restore.',
    ),
    podName: name
      .optional()
      .describe(
        'podName is the name of the pod to create. Defaults to the name of the pod of the checkpoint.',
      ),
    nodeName: name
      .optional()
      .describe(
        'nodeName is the name of the node to restore on. By default the scheduler chooses one of the nodes that can restore it.',
      ),
    backend: z
      .enum(backends)
      .optional()
      .describe(
        'backend is how the pod is restored. One of Native, Handler and CreateImage. Defaults to the best that the node offers.',
      ),
    ttlSecondsAfterFinished: ttlSecondsAfterFinished('Restore'),
  })
  .describe('spec is what to restore, and where. It is immutable.')
export const restoreStatusSchema = z
  .looseObject({
    phase: z
      .enum(['Pending', 'Preparing', 'Starting', 'Restored', 'Failed'])
      .optional()
      .describe('phase is one of Pending, Preparing, Starting, Restored and Failed.'),
    reason,
    message,
    conditions: phaseConditions('Complete'),
    backend: z.enum(backends).optional().describe('backend is how the pod is restored.'),
    podUID: z.string().optional().describe('podUID is the uid of the restored pod.'),
    nodeName: z.string().optional().describe('nodeName is the name of the node that the pod is restored on.'),
    images: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'images are the images that the node agent created from the checkpoint, with their digest, by container. Only with backend CreateImage.',
      ),
    missingImages: z
      .array(z.string())
      .optional()
      .describe(
        'missingImages are the images that the node has to pull first. Only with backend CreateImage.',
      ),
    imagesPulled: z
      .boolean()
      .optional()
      .describe('imagesPulled is whether the node has pulled the missing images.'),
    startTime: z.string().optional().describe('startTime is the time at which the restore started.'),
    completionTime: z
      .string()
      .optional()
      .describe('completionTime is the time at which the restore became Restored or Failed.'),
  })
  .describe('status is the state of the restore. It is written by clouder.')
export const restoreSchema = z
  .looseObject({
    metadata: metadataSchema,
    spec: restoreSpecSchema,
    status: restoreStatusSchema.optional(),
  })
  .describe('Restore creates a pod from a Checkpoint, with its memory.')
export type Restore = z.output<typeof restoreSchema>
