import {z} from 'zod'
import type {KubeObject} from '../../kubernetes/types.ts'

const nodeStatusSchema = z.looseObject({
  conditions: z
    .array(z.looseObject({type: z.string(), status: z.string(), reason: z.string().optional()}))
    .optional(),
})

/** Why a node is not Ready; undefined when it is. */
export function nodeProblem(node: KubeObject): string | undefined {
  const {conditions = []} = nodeStatusSchema.parse(node['status'] ?? {})
  const condition = conditions.find(({type}) => type === 'Ready')
  if (condition?.status === 'True') return undefined
  return `node ${node.metadata.name} is not Ready (${condition?.reason ?? 'no condition yet'})`
}

/** Why a node that is Ready takes no pods; undefined when it does. */
export function nodePressure(node: KubeObject): string | undefined {
  const {conditions = []} = nodeStatusSchema.parse(node['status'] ?? {})
  const pressure = conditions.find(({type, status}) => type.endsWith('Pressure') && status === 'True')
  return pressure === undefined ? undefined : `node ${node.metadata.name} accepts no pods: ${pressure.type}`
}
