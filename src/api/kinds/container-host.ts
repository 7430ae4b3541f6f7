import {z} from 'zod'
import {nodeFeaturesSchema} from '../sealed-checkpoint.ts'
import {metadataSchema, conditionSchema} from './metadata.ts'

export const containerHostSpecSchema = z
  .strictObject({
    capabilities: z
      .record(z.string(), z.string())
      .optional()
      .describe(
        'capabilities are the capabilities of the host, for example gpu: a10. They become labels capability.clouder.dev/KEY of its node, by which runtimes are scheduled.',
      ),
    slots: z
      .int()
      .min(1)
      .default(1)
      .describe('slots is the number of containers that the host runs at once. Defaults to 1.'),
    unschedulable: z
      .boolean()
      .optional()
      .describe('unschedulable prevents that new containers are scheduled to the host. Defaults to false.'),
  })
  .describe('spec is what the host was registered with.')
export const containerHostStatusSchema = z
  .looseObject({
    lastHeartbeatTime: z
      .string()
      .optional()
      .describe(
        'lastHeartbeatTime is the time of the last heartbeat of the host. It is only set if the host is not a node.',
      ),
    joined: z
      .boolean()
      .optional()
      .describe('joined is whether the host is a node of the cluster with the same name.'),
    version: z.string().optional().describe('version is the version of the program that reports.'),
    nodeFeatures: nodeFeaturesSchema
      .partial()
      .optional()
      .describe('nodeFeatures are the features of the host that a restore needs.'),
    running: z.array(z.string()).optional().describe('running are the containers that run on the host.'),
    conditions: z
      .array(conditionSchema)
      .optional()
      .describe('conditions are Ready: whether the host is reachable.'),
  })
  .describe('status is the state of the host.')
export const containerHostSchema = z
  .looseObject({
    metadata: metadataSchema,
    spec: containerHostSpecSchema,
    status: containerHostStatusSchema.optional(),
  })
  .describe('ContainerHost is a machine that is registered as capacity for runtimes.')
export type ContainerHost = z.output<typeof containerHostSchema>
