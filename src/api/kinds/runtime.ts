import {z} from 'zod'
import {name, metadataSchema, quantitySchema} from './metadata.ts'

export const runtimeSpecSchema = z.strictObject({
  image: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  workingDir: z.string().optional(),
  /** Keys of Kubernetes: `cpu`, `memory`; requests and limits are the same. */
  resources: z.record(z.string(), quantitySchema).optional(),
  env: z.record(z.string(), z.string()).optional(),
  /** Secrets as files below /run/secrets/<name>, in memory, made anew at each resume; never in the environment. */
  secrets: z.array(name).optional(),
  volumes: z.array(z.strictObject({claimName: name, mountPath: z.string().startsWith('/')})).optional(),
  /** Size of a home volume of its own, mounted at /home: `5Gi`. */
  home: z.strictObject({size: quantitySchema, storageClassName: z.string().optional()}).optional(),
  ports: z.array(z.int().min(1).max(65535)).optional(),
  /** Pool of the cluster's spec, or labels of nodes. */
  nodeSelector: z.record(z.string(), z.string()).optional(),
  store: name.default('default'),
  /** The one switch: a user or a policy pauses and resumes by it. */
  state: z.enum(['Running', 'Paused']).default('Running'),
})
export const runtimeStatusSchema = z.looseObject({
  phase: z.enum(['Pending', 'Running', 'Pausing', 'Paused', 'Resuming', 'Failed']).optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
  node: z.string().optional(),
  /** Checkpoint that it goes on from. */
  checkpoint: z.string().optional(),
  /** Generation of the spec whose switch was followed. */
  observedGeneration: z.int().optional(),
  pausedAt: z.string().optional(),
  resumedAt: z.string().optional(),
})
export const runtimeSchema = z.looseObject({
  metadata: metadataSchema,
  spec: runtimeSpecSchema,
  status: runtimeStatusSchema.optional(),
})
export type Runtime = z.output<typeof runtimeSchema>
