import {z} from 'zod'
import {message, metadataSchema, name, quantitySchema, reason, runtimeConditions} from './metadata.ts'

export const runtimeSpecSchema = z
  .strictObject({
    image: z.string().describe('image is the image of the container.'),
    command: z
      .array(z.string())
      .optional()
      .describe('command is the program that the container runs. Defaults to the entry point of the image.'),
    args: z.array(z.string()).optional().describe('args are its arguments. Defaults to those of the image.'),
    workingDir: z
      .string()
      .optional()
      .describe('workingDir is its working directory. Defaults to that of the image.'),
    resources: z
      .record(z.string(), quantitySchema)
      .optional()
      .describe(
        'resources are both the requests and the limits of the container, by resource, for example cpu and memory.',
      ),
    env: z
      .record(z.string(), z.string())
      .optional()
      .describe('env are the environment variables of the container, by name.'),
    secretNames: z
      .array(name)
      .optional()
      .describe(
        'secretNames are the names of Secrets that are mounted below /run/secrets, in memory. They are read again at each resume and are not part of checkpoints.',
      ),
    volumes: z
      .array(
        z.strictObject({
          claimName: name.describe('claimName is the name of a PersistentVolumeClaim of the namespace.'),
          mountPath: z
            .string()
            .startsWith('/')
            .describe('mountPath is the absolute path at which it is mounted.'),
        }),
      )
      .optional()
      .describe('volumes are claims that are mounted into the container.'),
    home: z
      .strictObject({
        size: quantitySchema.describe('size is the size of the volume, for example 5Gi.'),
        storageClassName: z
          .string()
          .optional()
          .describe('storageClassName is the name of its StorageClass. Defaults to that of the cluster.'),
      })
      .optional()
      .describe('home is a volume that is created for the runtime and mounted at /home.'),
    ports: z
      .array(z.int().min(1).max(65535))
      .optional()
      .describe('ports are TCP ports of the container. A Service is created for them.'),
    nodeSelector: z
      .record(z.string(), z.string())
      .optional()
      .describe('nodeSelector are labels of the nodes that the runtime may run on.'),
    storeName: name
      .default('default')
      .describe(
        'storeName is the name of the CheckpointStore that the runtime is paused to. Defaults to default.',
      ),
    state: z
      .enum(['Running', 'Paused'])
      .default('Running')
      .describe(
        'state is the desired state. One of Running and Paused. Users and policies set it to pause and resume the runtime. Defaults to Running.',
      ),
  })
  .describe('spec is the container to run, and whether it runs or is paused.')
export const runtimeStatusSchema = z
  .looseObject({
    phase: z
      .enum(['Pending', 'Running', 'Pausing', 'Paused', 'Resuming', 'Failed'])
      .optional()
      .describe('phase is one of Pending, Running, Pausing, Paused, Resuming and Failed.'),
    reason,
    message,
    conditions: runtimeConditions,
    nodeName: z.string().optional().describe('nodeName is the name of the node of the runtime.'),
    checkpointName: z
      .string()
      .optional()
      .describe('checkpointName is the name of the Checkpoint that the runtime resumes from.'),
    observedGeneration: z
      .int()
      .optional()
      .describe('observedGeneration is the generation of the spec whose state was reached.'),
    pauseTime: z.string().optional().describe('pauseTime is the time at which the runtime was last paused.'),
    resumeTime: z
      .string()
      .optional()
      .describe('resumeTime is the time at which the runtime was last resumed.'),
  })
  .describe('status is the state of the runtime. It is written by clouder.')
export const runtimeSchema = z
  .looseObject({
    metadata: metadataSchema,
    spec: runtimeSpecSchema,
    status: runtimeStatusSchema.optional(),
  })
  .describe('Runtime is a container that is paused to a checkpoint and resumed from it, on any node.')
export type Runtime = z.output<typeof runtimeSchema>
