import {z} from 'zod'
import {refOf} from '../../../kubernetes/refs.ts'
import type {KubeReader} from '../../../kubernetes/types.ts'
import type {NotReady} from '../../release/types.ts'

const nodeSchema = z.looseObject({drivers: z.array(z.looseObject({name: z.string()})).nullish()})

/** Nodes whose kubelet does not know a driver: pods with its volumes cannot start there. */
export async function withoutDriver(kube: KubeReader, driver: string): Promise<readonly NotReady[]> {
  const nodes = await kube.list({apiVersion: 'storage.k8s.io/v1', kind: 'CSINode'})
  return nodes
    .filter((node) => {
      const {drivers} = nodeSchema.parse(node['spec'] ?? {})
      return !(drivers ?? []).some(({name}) => name === driver)
    })
    .map((node) => ({
      ref: refOf(node),
      problem: `driver ${driver} is not registered with the kubelet of node ${node.metadata.name}`,
      isStuck: false,
    }))
}
