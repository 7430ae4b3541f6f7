import {z} from 'zod'
import {nodeFeaturesSchema, privilegesSchema} from '../sealed-checkpoint.ts'
import {message, metadataSchema, name, phaseConditions, reason} from './metadata.ts'

const execHookSchema = z.strictObject({
  container: name.describe('container is the name of the container of the pod that the command runs in.'),
  command: z
    .array(z.string())
    .min(1)
    .describe('command is the program and its arguments. It is not run in a shell.'),
  timeoutSeconds: z
    .int()
    .min(1)
    .max(600)
    .optional()
    .describe(
      'timeoutSeconds is the number of seconds after which the command is stopped and counts as failed. Defaults to 30.',
    ),
})

export const podPolicySchema = z.enum(['Resume', 'Freeze', 'Delete'])

export const checkpointSpecSchema = z
  .strictObject({
    podRef: z
      .strictObject({
        name: name.describe('name is the name of the pod, in the namespace of the Checkpoint.'),
        uid: z
          .string()
          .optional()
          .describe('uid is the uid of the pod. If set, a pod of that name with another uid is refused.'),
      })
      .optional()
      .describe('podRef is the pod to checkpoint. Exactly one of podRef and import is set.'),
    import: z
      .strictObject({
        digest: z
          .string()
          .regex(/^sha256:[0-9a-f]{64}$/)
          .describe('digest is the digest of the manifest of the checkpoint in the store.'),
      })
      .optional()
      .describe(
        'import is a checkpoint that is already in the store, for example one that another cluster created. Exactly one of podRef and import is set.',
      ),
    containers: z
      .array(name)
      .min(1)
      .optional()
      .describe(
        'containers are the names of the containers to checkpoint. Defaults to all containers of the pod, in the order of the pod.',
      ),
    storeName: name
      .default('default')
      .describe(
        'storeName is the name of the CheckpointStore that the checkpoint is stored in. Defaults to default.',
      ),
    podPolicy: podPolicySchema
      .default('Resume')
      .describe(
        'podPolicy defines what happens to the pod once its memory is dumped. One of Resume (the pod resumes), Freeze (it stays frozen until it is deleted or thawed) and Delete (it is deleted once the checkpoint is stored and verified). Defaults to Resume.',
      ),
    hooks: z
      .strictObject({
        preCheckpoint: execHookSchema
          .optional()
          .describe(
            'preCheckpoint is a command that runs before the memory is dumped. If it fails, no checkpoint is created.',
          ),
        postCheckpoint: execHookSchema
          .optional()
          .describe(
            'postCheckpoint is a command that runs when the pod has resumed, whether the checkpoint succeeded or not.',
          ),
      })
      .optional()
      .describe('hooks are commands that run in containers of the pod before and after the dump.'),
    keepArchive: z
      .boolean()
      .optional()
      .describe(
        'keepArchive leaves the archive of each container on the node. It contains the unencrypted memory of the container.',
      ),
    transfer: z
      .strictObject({
        nodeName: name.describe('nodeName is the name of the node that the memory is sent to.'),
        keep: z
          .boolean()
          .optional()
          .describe('keep is whether the checkpoint is also stored, once the move has succeeded.'),
        preCopy: z
          .boolean()
          .optional()
          .describe('preCopy is whether memory is copied and sent before the pod is frozen, in rounds.'),
        lazy: z
          .boolean()
          .optional()
          .describe(
            'lazy is whether the memory stays on the node of the pod until the pod runs on the other node. Such a checkpoint contains no memory and cannot be stored.',
          ),
      })
      .optional()
      .describe(
        'transfer sends the memory directly to another node, for a Migration, instead of storing it. The node of the pod keeps it until the Migration has ended. Only the controller sets it.',
      ),
    owner: z
      .string()
      .optional()
      .describe(
        'owner is who requested the checkpoint, for example policy/nightly. It is stored in the checkpoint. Defaults to user.',
      ),
  })
  .describe('spec is what to checkpoint, where to store it and what happens to the pod. It is immutable.')
export type CheckpointSpec = z.output<typeof checkpointSpecSchema>

const processSchema = z.looseObject({
  pid: z.int().describe('pid is the id of the process, in the container.'),
  ppid: z.int().describe('ppid is the id of its parent.'),
  command: z.string().describe('command is the name of its program.'),
  threads: z.int().optional().describe('threads is the number of its threads.'),
  residentBytes: z.int().optional().describe('residentBytes is its resident memory in bytes.'),
})

const socketSchema = z.looseObject({
  kind: z.string().describe('kind is its protocol, for example tcp or unix.'),
  local: z.string().optional().describe('local is its own address.'),
  remote: z.string().optional().describe('remote is the address of its peer.'),
  state: z.string().optional().describe('state is the state of its connection.'),
})

const openFileSchema = z.looseObject({
  pid: z.int().describe('pid is the id of the process that has the file open.'),
  fd: z.int().describe('fd is its file descriptor.'),
  path: z.string().describe('path is its path in the container.'),
})

/** Written by the agent that made it, which alone can open it. */
export const checkpointSummarySchema = z.looseObject({
  containers: z
    .array(
      z.looseObject({
        name: z.string().describe('name is the name of the container.'),
        imageDigest: z.string().optional().describe('imageDigest is the digest of its image.'),
        imageBytes: z.int().optional().describe('imageBytes is the size of its dumped memory in bytes.'),
        filesBytes: z.int().optional().describe('filesBytes is the size of its changed files in bytes.'),
        processes: z.array(processSchema).describe('processes are its processes.'),
        sockets: z.array(socketSchema).optional().describe('sockets are its open sockets.'),
        openFiles: z.array(openFileSchema).optional().describe('openFiles are its open files.'),
        mounts: z.array(z.string()).optional().describe('mounts are the paths of its mounts.'),
        privileges: privilegesSchema
          .optional()
          .describe('privileges is what its processes are allowed to do.'),
      }),
    )
    .describe('containers is the contents of each container.'),
})
export type CheckpointSummary = z.output<typeof checkpointSummarySchema>

/** What a check of what is stored found: the answer to VERIFY_ANNOTATION. */
export const verificationSchema = z.looseObject({
  request: z
    .string()
    .describe('request is the value of the annotation clouder.dev/verify that this answers.'),
  checkTime: z.string().describe('checkTime is the time of the check.'),
  ok: z.boolean().describe('ok is whether the checkpoint is complete and unchanged.'),
  reason,
  message: z.string().describe('message is the result of the check, for people.'),
})

/** Where something was that a restore may not find there. */
export const obstacleSources = [
  'EmptyDir',
  'EphemeralVolume',
  'SharedMemory',
  'ConfigMap',
  'Secret',
  'Projected',
  'DownwardAPI',
  'PersistentVolume',
  'HostPath',
  'TerminationLog',
  'PodFile',
  'Address',
  'EphemeralStorage',
  'ProcessIDs',
  'Other',
] as const

export const obstacleSchema = z.looseObject({
  verdict: z
    .enum(['Impossible', 'Unproven'])
    .describe(
      'verdict is Impossible if the pod cannot be restored because of it, and Unproven if that is not known.',
    ),
  container: z.string().describe('container is the name of the container.'),
  source: z
    .enum(obstacleSources)
    .describe('source is the origin of what is missing, for example EmptyDir, HostPath or ProcessIDs.'),
  volume: z.string().optional().describe('volume is the name of the volume.'),
  path: z.string().optional().describe('path is the path in the container.'),
  pid: z.int().optional().describe('pid is the id of the process.'),
  message: z.string().describe('message is what is missing and what to do, for people.'),
})
export type Obstacle = z.output<typeof obstacleSchema>

const dumpedContainerSchema = z.looseObject({
  name: z.string().describe('name is the name of the container.'),
  image: z.string().describe('image is its image, as the pod names it.'),
  archiveBytes: z.int().describe('archiveBytes is the size of its archive in bytes, uncompressed.'),
  frozenMilliseconds: z
    .int()
    .min(0)
    .optional()
    .describe('frozenMilliseconds is the time during which its processes were frozen by the dump.'),
  gapMilliseconds: z
    .int()
    .min(0)
    .optional()
    .describe(
      'gapMilliseconds is the time during which it ran between the dump and the freeze, rounded up. If absent, it did not run.',
    ),
  dump: z
    .enum(['Direct', 'Runtime'])
    .optional()
    .describe(
      'dump is how it was dumped. One of Direct (CRIU wrote to a folder of the node agent) and Runtime (the container runtime made an archive).',
    ),
  unmeasured: z
    .string()
    .optional()
    .describe('unmeasured is the reason why the size of its changed files was not measured before the dump.'),
})

export const checkpointPhases = ['Pending', 'Dumping', 'Dumped', 'Storing', 'Ready', 'Failed'] as const

/** Memory that was copied while a pod ran, before its dump. */
export const preCopySchema = z.looseObject({
  rounds: z
    .int()
    .min(0)
    .describe('rounds is how often the memory that had been written since the last time was copied.'),
  copiedBytes: z.int().min(0).describe('copiedBytes is what was copied in all rounds, in bytes.'),
  message: z.string().optional().describe('message is the reason why rounds is 0, for people.'),
})

export const checkpointStatusSchema = z
  .looseObject({
    phase: z
      .enum(checkpointPhases)
      .optional()
      .describe(
        'phase is one of Pending, Dumping, Dumped (on its node, only with spec.transfer), Storing, Ready (stored and verified) and Failed.',
      ),
    nodeName: z.string().optional().describe('nodeName is the name of the node of the pod.'),
    podUID: z.string().optional().describe('podUID is the uid of the pod of the checkpoint.'),
    reason,
    message,
    conditions: phaseConditions('Ready'),
    startTime: z
      .string()
      .optional()
      .describe('startTime is the time at which the node agent started the checkpoint.'),
    completionTime: z
      .string()
      .optional()
      .describe('completionTime is the time at which the checkpoint became Ready or Failed.'),
    digest: z
      .string()
      .optional()
      .describe('digest is the digest of the manifest of the checkpoint in the store.'),
    location: z
      .string()
      .optional()
      .describe('location is where the checkpoint is stored, for people, for example s3://bucket/prefix.'),
    sizeBytes: z
      .int()
      .optional()
      .describe('sizeBytes is the size of the checkpoint before compression and encryption, in bytes.'),
    transfer: z
      .looseObject({
        digest: z
          .string()
          .regex(/^sha256:[0-9a-f]{64}$/)
          .describe('digest is the digest of everything that was dumped.'),
        sizeBytes: z.int().min(0).describe('sizeBytes is its size in bytes.'),
        publicKey: z
          .string()
          .max(200)
          .optional()
          .describe(
            'publicKey is the key that proves to the node agent of the target node that the memory comes from the node agent of the node of the pod (ed25519, DER in base64). Only with spec.transfer.lazy.',
          ),
      })
      .optional()
      .describe(
        'transfer is what the node of the pod offers to the node of spec.transfer. Only in phase Dumped or later.',
      ),
    refusedByNodeName: z
      .string()
      .optional()
      .describe(
        'refusedByNodeName is the name of the node of spec.transfer, if the checkpoint failed because that node refused the memory before the pod was frozen.',
      ),
    preCopy: preCopySchema
      .optional()
      .describe('preCopy is what was copied before the pod was frozen. Only with spec.transfer.preCopy.'),
    freezeTime: z
      .string()
      .optional()
      .describe(
        'freezeTime is the time at which the first process of the pod was frozen for the dump, with milliseconds.',
      ),
    // How much of it was in the store already is not reported: it would say what others who share the store have stored.
    storedBytes: z
      .int()
      .optional()
      .describe('storedBytes is the size of the checkpoint in the store, in bytes.'),
    containers: z
      .array(dumpedContainerSchema)
      .optional()
      .describe('containers are the containers that were dumped.'),
    admitted: z
      .boolean()
      .optional()
      .describe(
        'admitted is whether the API server would accept the pod again, which is checked before a pod with podPolicy Delete is dumped.',
      ),
    frozen: z.boolean().optional().describe('frozen is whether this checkpoint keeps the pod frozen.'),
    nodeFeatures: nodeFeaturesSchema
      .optional()
      .describe(
        'nodeFeatures are the features of the node that the pod was dumped on. A restore needs them.',
      ),
    podTemplate: z
      .looseObject({
        metadata: z.looseObject({}).describe('metadata is the labels and annotations of the pod.'),
        spec: z.looseObject({}).describe('spec is the spec of the pod.'),
      })
      .optional()
      .describe('podTemplate is the pod that a restore creates.'),
    summary: checkpointSummarySchema
      .optional()
      .describe('summary is the contents of the checkpoint, for people.'),
    obstacles: z
      .array(obstacleSchema)
      .optional()
      .describe(
        'obstacles are things that a restore needs and that will or may be missing. If absent, there are none.',
      ),
    verification: verificationSchema
      .optional()
      .describe('verification is the result of the last check that was requested.'),
  })
  .describe('status is the state of the checkpoint. It is written by clouder.')
export type CheckpointStatus = z.output<typeof checkpointStatusSchema>

export const checkpointSchema = z
  .looseObject({
    metadata: metadataSchema,
    spec: checkpointSpecSchema,
    status: checkpointStatusSchema.optional(),
  })
  .describe('Checkpoint is the memory, the processes and the changed files of the containers of a pod.')
export type Checkpoint = z.output<typeof checkpointSchema>
