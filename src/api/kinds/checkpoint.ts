import {z} from 'zod'
import {nodeFeaturesSchema, privilegesSchema} from '../sealed-checkpoint.ts'
import {name, metadataSchema} from './metadata.ts'

const execHookSchema = z.strictObject({
  container: name,
  command: z.array(z.string()).min(1),
  /** Default 30 s. */
  timeoutSeconds: z.int().min(1).max(600).optional(),
})

/** `Resume`: the pod resumes. `Freeze`: it is frozen from the dump on, until deleted or thawed. `Delete`: it is deleted once the checkpoint is verified. */
export const podPolicySchema = z.enum(['Resume', 'Freeze', 'Delete'])

export const checkpointSpecSchema = z.strictObject({
  /** Exactly one of `pod` and `import`. */
  pod: z
    .strictObject({
      name,
      /** Refused when the pod of that name is another one. */
      uid: z.string().optional(),
    })
    .optional(),
  /** One that lies in a store already, made by another cluster perhaps. */
  import: z.strictObject({digest: z.string().regex(/^sha256:[0-9a-f]{64}$/)}).optional(),
  /** Default: every container, in the order of the pod. */
  containers: z.array(name).min(1).optional(),
  /** Name of a CheckpointStore. */
  store: name.default('default'),
  podPolicy: podPolicySchema.default('Resume'),
  hooks: z.strictObject({before: execHookSchema.optional(), after: execHookSchema.optional()}).optional(),
  /** Leave the archive of each container on the node; it is a memory dump in clear. */
  keepArchive: z.boolean().optional(),
  /** Told in the metadata: `policy/nightly`. Default: `user`. */
  owner: z.string().optional(),
})
export type CheckpointSpec = z.output<typeof checkpointSpecSchema>

/** What is in it, for people: written by the agent that made it, which alone can open it. */
export const checkpointSummarySchema = z.looseObject({
  containers: z.array(
    z.looseObject({
      name: z.string(),
      imageDigest: z.string().optional(),
      /** Of CRIU's images alone, and of the files that the container had changed. */
      imageBytes: z.int().optional(),
      filesBytes: z.int().optional(),
      processes: z.array(
        z.looseObject({
          pid: z.int(),
          ppid: z.int(),
          command: z.string(),
          threads: z.int().optional(),
          residentBytes: z.int().optional(),
        }),
      ),
      sockets: z
        .array(
          z.looseObject({
            kind: z.string(),
            local: z.string().optional(),
            remote: z.string().optional(),
            state: z.string().optional(),
          }),
        )
        .optional(),
      openFiles: z.array(z.looseObject({pid: z.int(), fd: z.int(), path: z.string()})).optional(),
      mounts: z.array(z.string()).optional(),
      privileges: privilegesSchema.optional(),
    }),
  ),
})
export type CheckpointSummary = z.output<typeof checkpointSummarySchema>

/** What a look at what is stored found: the answer to VERIFY_ANNOTATION. */
export const verificationSchema = z.looseObject({
  /** Value of the annotation that this answers. */
  asked: z.string(),
  checkedAt: z.string(),
  ok: z.boolean(),
  /** Codes of CheckpointError. */
  reason: z.string().optional(),
  message: z.string(),
})

/** What a restore of the checkpoint will not find (`impossible`), or may not find (`unproven`). */
export const obstacleSchema = z.looseObject({
  verdict: z.enum(['impossible', 'unproven']),
  container: z.string(),
  /** `emptyDir`, `hostPath`, `process ids`. */
  source: z.string(),
  volume: z.string().optional(),
  path: z.string().optional(),
  pid: z.int().optional(),
  message: z.string(),
})
export type Obstacle = z.output<typeof obstacleSchema>

export const checkpointPhases = ['Pending', 'Dumping', 'Storing', 'Ready', 'Failed'] as const

export const checkpointStatusSchema = z.looseObject({
  phase: z.enum(checkpointPhases).optional(),
  node: z.string().optional(),
  podUid: z.string().optional(),
  /** A CamelCase word; the codes of CheckpointError for a failure. */
  reason: z.string().optional(),
  /** What happens, or what went wrong and what to do. */
  message: z.string().optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
  /** Of the sealed manifest in the store. */
  digest: z.string().optional(),
  /** For people: `s3://bucket/prefix`. */
  location: z.string().optional(),
  /**
   * Open, and sealed. How much of it was in the store already is not told: it would say what others who share the store
   * have stored.
   */
  sizeBytes: z.int().optional(),
  storedBytes: z.int().optional(),
  containers: z
    .array(
      z.looseObject({
        name: z.string(),
        image: z.string(),
        archiveBytes: z.int(),
        frozenMs: z.number().optional(),
        /** How long it ran on between dump and freeze; absent: not at all, which was observed. */
        gapMs: z.number().optional(),
        /** Why its changed files were not measured before it was dumped; absent: they were. */
        unmeasured: z.string().optional(),
      }),
    )
    .optional(),
  /** With `podPolicy: Delete`: the API server would take the pod again, as the controller found before anything was begun. */
  admitted: z.boolean().optional(),
  /** Whether the pod stands still because of this checkpoint. */
  frozen: z.boolean().optional(),
  nodeFeatures: nodeFeaturesSchema.optional(),
  /** The pod to make for a restore: labels, annotations and spec. */
  podTemplate: z.looseObject({metadata: z.looseObject({}), spec: z.looseObject({})}).optional(),
  summary: checkpointSummarySchema.optional(),
  /** Absent: none was found. */
  obstacles: z.array(obstacleSchema).optional(),
  verification: verificationSchema.optional(),
})
export type CheckpointStatus = z.output<typeof checkpointStatusSchema>

export const checkpointSchema = z.looseObject({
  metadata: metadataSchema,
  spec: checkpointSpecSchema,
  status: checkpointStatusSchema.optional(),
})
export type Checkpoint = z.output<typeof checkpointSchema>
