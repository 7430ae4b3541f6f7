import type {Bundle} from '../../bundle/types.ts'
import type {Phase} from '../engine/types.ts'
import type {Host, HostReader} from '../hosts/host.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Endpoint} from '../../spec/machine.ts'
import type {Renderer} from '../../base/renderer.ts'

/** What every phase plans from: what is wanted, and readers of what is there. Nothing here can change anything. */
export interface PhaseContext {
  readonly spec: ClusterSpec
  /** All machines of this run, connected. */
  readonly hosts: readonly HostReader[]
  readonly endpoint: Endpoint
  /** What the stack says of its cloud, for addons; empty elsewhere. */
  readonly cloud: Readonly<Record<string, string>>
  /** The bundle for an architecture; loaded before the run. */
  readonly bundles: (arch: string) => Bundle
  readonly renderer: Renderer
  /** The cluster to look at; undefined while there is no API server that answers. */
  kube(): Promise<KubeReader | undefined>
  readonly ignorePreflight: readonly string[]
  /** Something the user should see that is no failure. */
  readonly note: (text: string, host?: string) => void
}

/** What steps on no single host are given. */
export interface ClusterTools {
  /** Throws KubernetesError API_UNREACHABLE. */
  kube(): Promise<KubeClient>
  readonly hostFor: (name: string) => Host
  /** Writes a file of this machine atomically: the kubeconfig. */
  writeLocal(path: string, content: string, mode: number): Promise<void>
  /** From now on this value appears in no log, event or error. */
  hideSecret(value: string): void
  /** Names this run to others that find its lock in the cluster. */
  readonly holder: string
  /** Whether a holder of such a lock is a killed run of this cluster on this machine. */
  readonly isStaleHolder?: (holder: string) => boolean
  readonly now: () => number
}

export type ClouderPhase = Phase<PhaseContext, ClusterTools>

export const isControlPlane = (host: HostReader): boolean => host.machine.role === 'control-plane'

/** The control planes in the order of the spec; the first one is where `kubeadm init` runs. */
export const controlPlanes = (context: PhaseContext): readonly HostReader[] =>
  context.hosts.filter(isControlPlane)

/** The control plane that has the cluster's CA key; on machines without a cluster the first one of the spec. */
export async function firstControlPlane(
  context: PhaseContext,
  signal: AbortSignal,
): Promise<HostReader | undefined> {
  const hosts = controlPlanes(context)
  if (hosts.length < 2) return hosts[0]
  for (const host of hosts) {
    const {exitCode} = await host.query(['test', '-e', '/etc/kubernetes/admin.conf'], {signal})
    if (exitCode === 0) return host
  }
  return hosts[0]
}
