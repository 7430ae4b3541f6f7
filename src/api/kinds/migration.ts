import {z} from 'zod'
import {backends} from './restore.ts'
import {preCopySchema} from './checkpoint.ts'
import {message, metadataSchema, name, phaseConditions, reason, ttlSecondsAfterFinished} from './metadata.ts'

/** When memory is moved: before the pod runs on the target, or afterwards. */
export const memoryPolicySchema = z.enum(['Eager', 'Lazy'])

export const migrationSpecSchema = z
  .strictObject({
    podName: name.describe('podName is the name of the pod to move, in the namespace of the Migration.'),
    nodeName: name
      .optional()
      .describe(
        'nodeName is the name of the node to move to. By default the scheduler chooses one other than the node of the pod.',
      ),
    storeName: name
      .default('default')
      .describe(
        'storeName is the name of the CheckpointStore that stores the memory during the move. Defaults to default.',
      ),
    backend: z
      .enum(backends)
      .optional()
      .describe(
        'backend is how the pod is restored. One of Native, Handler and CreateImage. Defaults to Handler.',
      ),
    keep: z
      .boolean()
      .optional()
      .describe(
        'keep is whether the checkpoint of the move is stored in the store and kept. By default it is deleted after the move.',
      ),
    preCopy: z
      .boolean()
      .optional()
      .describe(
        'preCopy is whether memory is copied and sent while the pod still runs, in rounds, so that it is frozen for less time. Only with a direct move from a node whose kernel tracks writes. Defaults to false.',
      ),
    memoryPolicy: memoryPolicySchema
      .optional()
      .describe(
        'memoryPolicy defines when the memory gets to the target node. One of Eager (before the pod runs there) and Lazy (afterwards: the downtime does not grow with the memory, but if one of both nodes, their node agents or the network between them fails before all of it has arrived, the memory is lost). Lazy requires a pod of a ReplicaSet with one container, and excludes preCopy. Defaults to Eager.',
      ),
    owner: z
      .string()
      .optional()
      .describe('owner is who requested the move, for example policy/spot. Defaults to user.'),
    replicas: z
      .int()
      .min(0)
      .max(0)
      .default(0)
      .describe(
        'replicas is always 0. While the new pod of a ReplicaSet belongs to the Migration, PodDisruptionBudgets read the scale of its owner; they count the number of pods that the ReplicaSet has.',
      ),
    ttlSecondsAfterFinished: ttlSecondsAfterFinished('Migration'),
  })
  .describe('spec is which pod to move, and where to. It is immutable.')
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
/** How the memory gets to the target: from node to node, or by way of a store. */
export const migrationWays = ['Direct', 'Store'] as const
/**
 * How far the memory of a pod is that comes after the pod runs. With `Starting` its processes may run, and the source
 * must not be thawed any more.
 */
export const pagesStates = ['Starting', 'NotStarted', 'Complete', 'Lost'] as const
export const migrationStatusSchema = z
  .looseObject({
    phase: z
      .enum(migrationPhases)
      .optional()
      .describe(
        'phase is one of Pending, Checkpointing, Preparing, Moving, Verifying, RollingBack, Succeeded, RolledBack (the pod runs on its source node) and Failed.',
      ),
    reason,
    message,
    conditions: phaseConditions('Complete'),
    sourceNodeName: z
      .string()
      .optional()
      .describe('sourceNodeName is the name of the node that the pod is moved from.'),
    targetNodeName: z
      .string()
      .optional()
      .describe('targetNodeName is the name of the node that the pod is moved to.'),
    way: z
      .enum(migrationWays)
      .optional()
      .describe(
        'way is how the memory gets to the target node. One of Direct (from node to node) and Store (by way of the store).',
      ),
    wayMessage: z.string().optional().describe('wayMessage is the reason why way is Store, for people.'),
    transfer: z
      .looseObject({
        receivedBytes: z
          .int()
          .min(0)
          .describe('receivedBytes is how much of it the target node has received, in bytes.'),
        sizeBytes: z
          .int()
          .min(0)
          .optional()
          .describe(
            'sizeBytes is its size in bytes, an estimate until the dump is complete. If absent, nothing was received.',
          ),
        progressTime: z
          .string()
          .optional()
          .describe('progressTime is the time at which receivedBytes last grew.'),
        publicKey: z
          .string()
          .optional()
          .describe(
            'publicKey is the key that proves to the node agent of the source node that the node agent of the target node requests the memory (ed25519, DER in base64).',
          ),
        pages: z
          .looseObject({
            state: z
              .enum(pagesStates)
              .describe(
                'state is one of Starting (its processes may run), NotStarted (they never ran), Complete (all memory is on the target node) and Lost (they were killed before all memory had arrived).',
              ),
            receivedBytes: z
              .int()
              .min(0)
              .optional()
              .describe('receivedBytes is how much memory has arrived since the pod started, in bytes.'),
            message: z.string().optional().describe('message is the explanation, for people.'),
          })
          .optional()
          .describe('pages is the memory that arrives after the pod runs. Only with memoryPolicy Lazy.'),
      })
      .optional()
      .describe(
        'transfer is the progress of the memory, as the node agent of the target node reports it. Only with way Direct.',
      ),
    preCopy: preCopySchema
      .optional()
      .describe('preCopy is what was copied before the pod was frozen, as the source node reports it.'),
    transferredBytes: z
      .int()
      .min(0)
      .optional()
      .describe('transferredBytes is the size of what was moved in bytes, once the move has succeeded.'),
    missingImages: z
      .array(z.string())
      .optional()
      .describe(
        'missingImages are the images of the pod that the target node lacks. They are pulled before the pod is frozen.',
      ),
    sourcePodUID: z.string().optional().describe('sourcePodUID is the uid of the pod that is moved.'),
    sourceRestartCount: z
      .int()
      .optional()
      .describe(
        'sourceRestartCount is how often the containers of the pod had been restarted when the move started.',
      ),
    targetAnswer: z
      .looseObject({
        ok: z.boolean().describe('ok is whether the target node can run the pod.'),
        reason,
        message: z.string().describe('message is the explanation, for people.'),
      })
      .optional()
      .describe(
        'targetAnswer is the response of the node agent of the target node, before the source is deleted.',
      ),
    refusedTargets: z
      .array(
        z.looseObject({
          nodeName: z.string().describe('nodeName is the name of the node.'),
          message: z.string().describe('message is the reason why it cannot run the pod.'),
        }),
      )
      .optional()
      .describe(
        'refusedTargets are the nodes that were tried before this one. Only if spec.nodeName is not set.',
      ),
    images: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'images are the images that the node agent of the target node created from the checkpoint, with their digest, by container. Only with backend CreateImage.',
      ),
    checkpointName: z
      .string()
      .optional()
      .describe('checkpointName is the name of the Checkpoint that contains the memory.'),
    newPodName: z
      .string()
      .optional()
      .describe(
        'newPodName is the name of the pod on the target node. It differs from spec.podName only for a pod of a ReplicaSet.',
      ),
    newPodUID: z.string().optional().describe('newPodUID is the uid of the pod on the target node.'),
    ownerRefs: z
      .array(
        z.looseObject({
          kind: z.string().describe('kind is the kind of the owner.'),
          name: z.string().describe('name is the name of the owner.'),
          uid: z.string().describe('uid is the uid of the owner.'),
        }),
      )
      .optional()
      .describe('ownerRefs are the owners of the pod, which the pod on the target node gets.'),
    startTime: z.string().optional().describe('startTime is the time at which the move started.'),
    phaseStartTime: z
      .string()
      .optional()
      .describe('phaseStartTime is the time at which the current phase started.'),
    moveTime: z
      .string()
      .optional()
      .describe(
        'moveTime is the time at which the move entered the phase Moving. The pod on the target node does not start before.',
      ),
    refusalTime: z
      .string()
      .optional()
      .describe(
        'refusalTime is the time at which the API server first rejected the pod on the target node. If absent, it did not.',
      ),
    freezeTime: z
      .string()
      .optional()
      .describe(
        'freezeTime is the time at which the first process of the pod was frozen, with milliseconds.',
      ),
    readyTime: z
      .string()
      .optional()
      .describe(
        'readyTime is the time at which the controller saw that the pod on the target node was ready, with milliseconds.',
      ),
    runningTime: z
      .string()
      .optional()
      .describe(
        'runningTime is the time at which all processes of the pod ran on the target node, as its node agent reports it, with milliseconds. If absent, they do not run yet, or only the kubelet reported it.',
      ),
    awaitsReadiness: z
      .boolean()
      .optional()
      .describe(
        'awaitsReadiness is whether the pod has probes, readiness gates or postStart hooks, so that it may have to wait before it is ready although its processes run.',
      ),
    downtimeMilliseconds: z
      .int()
      .optional()
      .describe(
        'downtimeMilliseconds is the time from freezeTime to runningTime, or to readyTime if runningTime is absent.',
      ),
    completionTime: z
      .string()
      .optional()
      .describe('completionTime is the time at which the move became Succeeded, RolledBack or Failed.'),
  })
  .describe('status is the state of the move. It is written by clouder.')
export const migrationSchema = z
  .looseObject({
    metadata: metadataSchema,
    spec: migrationSpecSchema,
    status: migrationStatusSchema.optional(),
  })
  .describe('Migration moves a pod to another node, with its memory.')
export type Migration = z.output<typeof migrationSchema>
