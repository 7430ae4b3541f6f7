import {z} from 'zod'
import {
  durationSchema,
  retentionSchema,
  storeSpecSchema,
  type Retention,
  type StoreSpec,
} from '../spec/checkpoint-store.ts'
import {abilitiesSchema, privilegesSchema} from './sealed/types.ts'

const name = z.string().min(1).max(253)
const metadataSchema = z.looseObject({
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

// --- CheckpointStore: cluster-scoped ---------------------------------------------------------------------------------

export {retentionSchema, storeSpecSchema, type Retention, type StoreSpec}

export const checkpointStoreSchema = z.looseObject({
  metadata: metadataSchema,
  spec: storeSpecSchema,
  status: z.looseObject({conditions: z.array(conditionSchema).optional()}).optional(),
})
export type CheckpointStore = z.output<typeof checkpointStoreSchema>

// --- Checkpoint ------------------------------------------------------------------------------------------------------

const execHookSchema = z.strictObject({
  container: name,
  command: z.array(z.string()).min(1),
  /** Default 30 s. */
  timeoutSeconds: z.int().min(1).max(600).optional(),
})

/** `run`: the pod goes on. `freeze`: it stands still from the dump on, until deleted or thawed. `delete`: it is deleted once the checkpoint is verified. */
export const afterSchema = z.enum(['run', 'freeze', 'delete'])

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
  import: z.strictObject({digest: z.string()}).optional(),
  /** Default: every container, in the order of the pod. */
  containers: z.array(name).min(1).optional(),
  /** Name of a CheckpointStore. */
  store: name.default('default'),
  after: afterSchema.default('run'),
  hooks: z.strictObject({before: execHookSchema.optional(), after: execHookSchema.optional()}).optional(),
  /** Leave the kubelet's archive on the node; it is a memory dump in clear. */
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
  place: z.string().optional(),
  /** Open, sealed, and sealed that was not in the store yet. */
  sizeBytes: z.int().optional(),
  storedBytes: z.int().optional(),
  newBytes: z.int().optional(),
  containers: z
    .array(
      z.looseObject({
        name: z.string(),
        image: z.string(),
        archiveBytes: z.int(),
        frozenMs: z.number().optional(),
        /** How long it ran on between dump and freeze; absent: not at all, which was observed. */
        gapMs: z.number().optional(),
      }),
    )
    .optional(),
  /** Whether the pod stands still because of this checkpoint. */
  frozen: z.boolean().optional(),
  source: abilitiesSchema.optional(),
  /** The pod to make for a restore: labels, annotations and spec. */
  podTemplate: z.looseObject({metadata: z.looseObject({}), spec: z.looseObject({})}).optional(),
  summary: checkpointSummarySchema.optional(),
  verification: verificationSchema.optional(),
})
export type CheckpointStatus = z.output<typeof checkpointStatusSchema>

export const checkpointSchema = z.looseObject({
  metadata: metadataSchema,
  spec: checkpointSpecSchema,
  status: checkpointStatusSchema.optional(),
})
export type Checkpoint = z.output<typeof checkpointSchema>

/** How long a Restore or a Migration that is over is kept; default: a day. */
const ttlSecondsAfterFinished = z.int().min(0).optional()

// --- Restore ---------------------------------------------------------------------------------------------------------

export const backends = ['native', 'handler', 'create-image'] as const
export type Backend = (typeof backends)[number]

export const restoreSpecSchema = z.strictObject({
  /** Name of a Checkpoint of the same namespace. */
  checkpoint: name,
  /** Default: the name of the pod that it was made of. */
  podName: name.optional(),
  /** Default: the scheduler chooses among nodes that can. */
  node: name.optional(),
  /** Default: the best that the node offers. */
  backend: z.enum(backends).optional(),
  ttlSecondsAfterFinished,
})
export const restoreStatusSchema = z.looseObject({
  phase: z.enum(['Pending', 'Preparing', 'Starting', 'Restored', 'Failed']).optional(),
  reason: z.string().optional(),
  message: z.string().optional(),
  backend: z.enum(backends).optional(),
  podUid: z.string().optional(),
  node: z.string().optional(),
  /** Backend create-image: by container, the image that the agent of `node` made of the checkpoint, by digest. */
  images: z.record(z.string(), z.string()).optional(),
  /** Backend create-image: images of its containers that `node` has to pull before; and whether it has. */
  absentImages: z.array(z.string()).optional(),
  pulled: z.boolean().optional(),
  startedAt: z.string().optional(),
  finishedAt: z.string().optional(),
})
export const restoreSchema = z.looseObject({
  metadata: metadataSchema,
  spec: restoreSpecSchema,
  status: restoreStatusSchema.optional(),
})
export type Restore = z.output<typeof restoreSchema>

// --- Migration -------------------------------------------------------------------------------------------------------

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
  sourceUid: z.string().optional(),
  /** How often the source's containers had been started again. */
  sourceRestarts: z.int().optional(),
  /** What the agent of the target says; it is asked before the source is ended. */
  targetAnswer: z
    .looseObject({ok: z.boolean(), reason: z.string().optional(), message: z.string()})
    .optional(),
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

// --- CheckpointPolicy ------------------------------------------------------------------------------------------------

export const policySpecSchema = z.strictObject({
  selector: z.strictObject({
    matchLabels: z.record(z.string(), z.string()).optional(),
    matchExpressions: z
      .array(
        z.strictObject({
          key: z.string(),
          operator: z.enum(['In', 'NotIn', 'Exists', 'DoesNotExist']),
          values: z.array(z.string()).optional(),
        }),
      )
      .optional(),
  }),
  /** Five fields of cron, in `timeZone` (default UTC). */
  schedule: z.string().optional(),
  timeZone: z.string().optional(),
  /** All of the pod below `cpu` (`10m`) for `for`. */
  idle: z
    .strictObject({cpu: z.string(), for: durationSchema, after: afterSchema.exclude(['freeze'])})
    .optional(),
  /** Moved instead of killed when its node is drained by `clouder node drain --checkpoint`. */
  onDrain: z.boolean().optional(),
  /** Checkpointed and pushed when the cloud announces the end of its spot machine; moved when another node can take it. */
  onInterruption: z.boolean().optional(),
  store: name.default('default'),
  retention: retentionSchema.optional(),
  suspend: z.boolean().optional(),
})
export const policyStatusSchema = z.looseObject({
  observedGeneration: z.int().optional(),
  lastScheduledAt: z.string().optional(),
  nextScheduledAt: z.string().optional(),
  pods: z.int().optional(),
  checkpoints: z.int().optional(),
  conditions: z.array(conditionSchema).optional(),
})
export const checkpointPolicySchema = z.looseObject({
  metadata: metadataSchema,
  spec: policySpecSchema,
  status: policyStatusSchema.optional(),
})
export type CheckpointPolicy = z.output<typeof checkpointPolicySchema>

// --- Runtime ---------------------------------------------------------------------------------------------------------

export const runtimeSpecSchema = z.strictObject({
  image: z.string(),
  command: z.array(z.string()).optional(),
  args: z.array(z.string()).optional(),
  workingDir: z.string().optional(),
  /** Keys of Kubernetes: `cpu`, `memory`; requests and limits are the same. */
  resources: z.record(z.string(), z.string()).optional(),
  env: z.record(z.string(), z.string()).optional(),
  /** Secrets as files below /run/secrets/<name>, in memory, made anew at each resume; never in the environment. */
  secrets: z.array(name).optional(),
  volumes: z.array(z.strictObject({claimName: name, mountPath: z.string().startsWith('/')})).optional(),
  /** Size of a home volume of its own, mounted at /home: `5Gi`. */
  home: z.strictObject({size: z.string(), storageClassName: z.string().optional()}).optional(),
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

// --- ContainerHost (BYOC): cluster-scoped ----------------------------------------------------------------------------

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
      abilities: abilitiesSchema.partial().optional(),
      running: z.array(z.string()).optional(),
      conditions: z.array(conditionSchema).optional(),
    })
    .optional(),
})
export type ContainerHost = z.output<typeof containerHostSchema>

/** Every kind with its names, scope and schemas: what the CustomResourceDefinitions are made from. */
export const RESOURCES = {
  CheckpointStore: {plural: 'checkpointstores', namespaced: false, spec: storeSpecSchema},
  Checkpoint: {plural: 'checkpoints', namespaced: true, spec: checkpointSpecSchema},
  Restore: {plural: 'restores', namespaced: true, spec: restoreSpecSchema},
  Migration: {plural: 'migrations', namespaced: true, spec: migrationSpecSchema},
  CheckpointPolicy: {plural: 'checkpointpolicies', namespaced: true, spec: policySpecSchema},
  Runtime: {plural: 'runtimes', namespaced: true, spec: runtimeSpecSchema},
  ContainerHost: {plural: 'containerhosts', namespaced: false, spec: containerHostSpecSchema},
} as const
export type ResourceKind = keyof typeof RESOURCES
