import {z} from 'zod'
import type {Step} from '../engine/types.ts'
import {registrationLabels, wantedLabels} from '../kubeadm/node-labels.ts'
import type {Machine, Taint} from '../../spec/machine.ts'
import type {KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {waitFor} from '../../base/waiting.ts'
import type {ClouderPhase, ClusterTools} from './context.ts'

const taintsSchema = z.looseObject({
  taints: z
    .array(z.looseObject({key: z.string(), value: z.string().optional(), effect: z.string()}))
    .optional(),
})

/** Every node carries the labels and taints that the spec gives to its machine; what others put there stays. */
export const nodeMetadataPhase: ClouderPhase = {
  id: 'node-metadata',
  title: 'Label and taint the nodes',

  async plan(context) {
    const kube = await context.kube()
    const nodes = kube === undefined ? [] : await kube.list({apiVersion: 'v1', kind: 'Node'})
    const byName = new Map(nodes.map((node) => [node.metadata.name, node]))
    return context.hosts.flatMap(({machine}) => planNode(machine, byName.get(machine.name)))
  },
}

function planNode(machine: Machine, node: KubeObject | undefined): Step<ClusterTools>[] {
  // A node that is not there yet brings what its kubelet may say of it.
  const found = node === undefined ? registrationLabels(machine) : (node.metadata.labels ?? {})
  const missing = Object.entries(wantedLabels(machine)).filter(([key, value]) => found[key] !== value)
  const {taints = []} = node === undefined ? machine : taintsSchema.parse(node['spec'] ?? {})
  const absent = machine.taints.filter((taint) => !taints.some((there) => sameTaint(there, taint)))
  if (missing.length === 0 && absent.length === 0) return []
  const words = [
    ...missing.map(([key, value]) => `label ${key}=${value}`),
    ...absent.map((taint) => `taint ${taint.key}:${taint.effect}`),
  ]
  return [
    {
      summary: `set ${words.join(', ')} on node ${machine.name}`,
      reason: node === undefined ? 'the node is not there yet' : 'absent or different',
      run: async (tools, {signal}) => {
        const kube = await tools.kube()
        const ref = {apiVersion: 'v1', kind: 'Node', name: machine.name}
        const live = await registeredNode(kube, ref, signal)
        const kept = (taintsSchema.parse(live['spec'] ?? {}).taints ?? []).filter(
          (found) =>
            !machine.taints.some((taint) => taint.key === found.key && taint.effect === found.effect),
        )
        const {resourceVersion} = live.metadata
        await kube.patch(ref, {
          // A list is replaced whole: a taint that somebody sets at this moment must not be lost.
          metadata: {labels: Object.fromEntries(missing), ...(absent.length === 0 ? {} : {resourceVersion})},
          ...(absent.length === 0 ? {} : {spec: {taints: [...kept, ...machine.taints]}}),
        })
      },
    },
  ]
}

/** `kubeadm join` ends when the kubelet has its certificate; the kubelet makes its Node a moment later. */
async function registeredNode(kube: KubeReader, ref: ObjectRef, signal: AbortSignal): Promise<KubeObject> {
  return waitFor({
    what: `node ${ref.name} to register`,
    check: async () => {
      const value = await kube.get(ref)
      return value === undefined ? {seen: 'no such node'} : {value, seen: 'registered'}
    },
    timeoutMs: 120_000,
    intervalMs: 250,
    signal,
  })
}

const sameTaint = (found: {key: string; value?: string | undefined; effect: string}, taint: Taint): boolean =>
  found.key === taint.key && found.effect === taint.effect && (found.value ?? '') === taint.value
