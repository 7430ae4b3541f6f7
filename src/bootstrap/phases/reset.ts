import type {HostStep, Step} from '../engine/types.ts'
import type {HostReader} from '../hosts/host.ts'
import {CRI_SOCKET} from '../kubeadm/config.ts'
import {isControlPlane, type ClouderPhase, type ClusterTools, type PhaseContext} from './context.ts'
import {CERTIFICATE_PATHS, MANIFEST_PATHS, probeKubeadm} from './kubeadm-probe.ts'
import {observeHosts} from './probe.ts'

/** What kubeadm leaves on a node that is, or was about to be, part of a cluster. */
const TRACES = [
  '/etc/kubernetes/kubelet.conf',
  '/etc/kubernetes/bootstrap-kubelet.conf',
  '/etc/kubernetes/admin.conf',
  '/etc/kubernetes/clouder',
  '/var/lib/kubelet/config.yaml',
  '/var/lib/etcd/member',
  '/etc/cni/net.d/10-flannel.conflist',
  ...MANIFEST_PATHS,
  ...CERTIFICATE_PATHS,
]
const UNINSTALL_TRACES = [
  '/opt/clouder',
  '/usr/local/libexec/clouder',
  '/etc/systemd/system/containerd.service',
]

export interface ResetOptions {
  readonly nodes: readonly string[]
  /** The cluster goes on without the nodes. */
  readonly keepsCluster: boolean
  /** Sealed checkpoints stay on the disks of the nodes. Memory in clear never does. */
  readonly keepsCheckpoints: boolean
}

/** The named nodes leave the cluster and hold nothing of it any more; binaries and images stay for a later join. */
export const resetPhase = ({nodes, keepsCluster, keepsCheckpoints}: ResetOptions): ClouderPhase => ({
  id: 'reset',
  title: 'Removing the nodes from the cluster',

  async plan(context, signal) {
    const leaving = context.hosts.filter((host) => nodes.includes(host.name))
    const kube = keepsCluster ? await context.kube() : undefined
    const members = kube === undefined ? [] : await kube.list({apiVersion: 'v1', kind: 'Node'})
    const steps: Step<ClusterTools>[] = members
      .filter((node) => nodes.includes(node.metadata.name))
      .map((node) => deleteNode(node.metadata.name))
    const resets = await observeHosts(
      'reset',
      leaving,
      (host) => planHost(context, host, keepsCheckpoints, signal),
      signal,
    )
    // Control planes last: what the workers stop may still need the API server.
    const ordered = resets
      .flatMap(({observed}) => observed)
      .sort((a, b) => Number(isControlPlane(a.on)) - Number(isControlPlane(b.on)))
    return [...steps, ...ordered]
  },
})

const deleteNode = (name: string): Step<ClusterTools> => ({
  summary: `delete node ${name}`,
  reason: 'it is removed from the cluster',
  run: async (tools) => {
    const kube = await tools.kube()
    const ref = {apiVersion: 'v1', kind: 'Node', name}
    await kube.patch(ref, {spec: {unschedulable: true}})
    await kube.delete(ref)
  },
})

async function planHost(
  context: PhaseContext,
  host: HostReader,
  keepCheckpoints: boolean,
  signal: AbortSignal,
): Promise<HostStep[]> {
  const state = await probeKubeadm(host, context.renderer, TRACES, [], signal)
  if (state.paths.size === 0) return []
  return [
    {
      summary: 'reset the node',
      reason: `holds ${[...state.paths].slice(0, 3).join(', ')}${state.paths.size > 3 ? ', …' : ''}`,
      on: host,
      run: async (target, stepContext) => {
        const text = context.renderer.render('kubeadm/reset.sh', {criSocket: CRI_SOCKET, keepCheckpoints})
        const {signal: stop} = stepContext
        await target.runScript(
          {name: 'kubeadm reset', text},
          {signal: stop, onLine: (line) => stepContext.progress(line)},
        )
      },
    },
  ]
}

/** Nothing of clouder's is left on the machines: for machines that somebody brought and takes back. */
export const uninstallPhase: ClouderPhase = {
  id: 'uninstall',
  title: 'Removing what was installed',

  async plan(context, signal) {
    const plans = await observeHosts(
      'uninstall',
      context.hosts,
      async (host): Promise<HostStep[]> => {
        const {paths} = await probeKubeadm(host, context.renderer, UNINSTALL_TRACES, [], signal)
        if (paths.size === 0) return []
        const text = context.renderer.render('kubeadm/uninstall.sh', {})
        return [
          {
            summary: 'remove binaries, units and configuration',
            reason: `holds ${[...paths].join(', ')}`,
            on: host,
            run: async (target, stepContext) => {
              await target.runScript({name: 'kubeadm/uninstall.sh', text}, {signal: stepContext.signal})
            },
          },
        ]
      },
      signal,
    )
    return plans.flatMap(({observed}) => observed)
  },
}
