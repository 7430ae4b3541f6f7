import {z} from 'zod'
import {backends} from './restore.ts'
import {name, metadataSchema, ttlSecondsAfterFinished} from './metadata.ts'

export const migrationSpecSchema = z.strictObject({
  pod: name,
  /** Default: the scheduler chooses, never the node that it is on. */
  node: name.optional(),
  store: name.default('default'),
  /** Default: `handler`. */
  backend: z.enum(backends).optional(),
  owner: z.string().optional(),
  ttlSecondsAfterFinished,
})
export const migrationPhases = [
  'Pending',
  'Checkpointing',
  'Preparing',
  'Moving',
  'Verifying',
  'RollingBack',
  'Succeeded',
  'RolledBack',
  'Failed',
] as const
export const migrationStatusSchema = z.looseObject({
  phase: z.enum(migrationPhases).optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
  sourceNode: z.string().optional(),
  targetNode: z.string().optional(),
  /** Images of the pod that the target lacks, as its agent says while the pod still runs; they are pulled first. */
  missingImages: z.array(z.string()).optional(),
  sourceUid: z.string().optional(),
  /** How often the source's containers had been started again. */
  sourceRestarts: z.int().optional(),
  /** What the agent of the target says; it is asked before the source is ended. */
  targetAnswer: z
    .looseObject({ok: z.boolean(), reason: z.string().optional(), message: z.string()})
    .optional(),
  /** Nodes that were asked before this one, and why they cannot take it; only where no node was asked for. */
  refusedTargets: z.array(z.looseObject({node: z.string(), message: z.string()})).optional(),
  /** Backend create-image: by container, the image that the agent of the target made of the checkpoint, by digest. */
  images: z.record(z.string(), z.string()).optional(),
  /** Names of what it made. */
  checkpoint: z.string().optional(),
  /** The pod that goes on; another name only for one of a ReplicaSet. */
  newPod: z.string().optional(),
  newUid: z.string().optional(),
  /** Owners of the source, for the new pod. */
  owners: z.array(z.looseObject({kind: z.string(), name: z.string(), uid: z.string()})).optional(),
  startedAt: z.string().optional(),
  /** When the phase began. */
  since: z.string().optional(),
  /** When the API server first refused the pod to make; absent: it did not. */
  refusedAt: z.string().optional(),
  /** When the source stood still, and when the restored pod was ready. */
  frozenAt: z.string().optional(),
  readyAt: z.string().optional(),
  downtimeMs: z.int().optional(),
  finishedAt: z.string().optional(),
})
export const migrationSchema = z.looseObject({
  metadata: metadataSchema,
  spec: migrationSpecSchema,
  status: migrationStatusSchema.optional(),
})
export type Migration = z.output<typeof migrationSchema>
