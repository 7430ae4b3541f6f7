import {z} from 'zod'
import type {Step} from '../engine/types.ts'
import {registrationLabels, wantedLabels} from '../kubeadm/node-labels.ts'
import type {Machine, Taint} from '../../spec/machine.ts'
import {retryOnConflict} from '../../kubernetes/conflict.ts'
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
  title: 'Labelling and tainting the nodes',

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
      reason: node === undefined ? 'the node does not exist yet' : 'absent or different',
      run: async (tools, {signal}) => {
        const kube = await tools.kube()
        const ref = {apiVersion: 'v1', kind: 'Node', name: machine.name}
        const metadata = {labels: Object.fromEntries(missing)}
        await retryOnConflict(async () => {
          const live = await registeredNode(kube, ref, signal)
          if (absent.length === 0) return kube.patch(ref, {metadata})
          // A list is replaced whole: a taint that somebody sets at this moment must not be lost.
          const {resourceVersion} = live.metadata
          return kube.patch(ref, {metadata, spec: {taints: taintsOf(live, machine)}}, {resourceVersion})
        })
      },
    },
  ]
}

/** Those of the machine, and those of others that the node has. */
function taintsOf(node: KubeObject, machine: Machine): readonly object[] {
  const {taints = []} = taintsSchema.parse(node['spec'] ?? {})
  const others = taints.filter(
    (found) => !machine.taints.some(({key, effect}) => key === found.key && effect === found.effect),
  )
  return [...others, ...machine.taints]
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
