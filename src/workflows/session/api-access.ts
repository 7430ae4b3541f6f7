import {KubernetesError} from '../../kubernetes/errors.ts'
import type {Host} from '../../bootstrap/hosts/host.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {ADMIN_CONF} from '../../bootstrap/phases/kubeconfig.ts'
import type {Machine} from '../../spec/machine.ts'
import type {Tools} from './types.ts'

/**
 * What an administrator may read. kubeadm gives its own that right with the first phase that changes the cluster, not
 * with the kubeconfig: between the two there is an API server, and nothing to plan with.
 */
export const READ_PATH = '/api/v1/nodes?limit=1'

/** Why no API server answers, and a command that shows or mends the cause. */
export interface ApiProblem {
  readonly problem: string
  readonly fix: string
}

type ApiTools = Pick<Tools, 'openKube' | 'signal'>

const isControlPlane = ({role}: Machine): boolean => role === 'control-plane'

/** The API server through a tunnel to a control plane; looked for until it answers, then kept. */
export class LazyKube {
  readonly #cluster: string
  readonly #hosts: readonly Host[]
  readonly #tools: ApiTools
  #open: KubeClient | undefined
  #opening: Promise<KubeClient | undefined> | undefined
  #problem: ApiProblem

  /** `machines`: all of them; `hosts`: those that answered. */
  constructor(cluster: string, machines: readonly Machine[], hosts: readonly Host[], tools: ApiTools) {
    this.#cluster = cluster
    this.#hosts = hosts.filter(({machine}) => isControlPlane(machine))
    this.#tools = tools
    const silent = machines.filter(isControlPlane).map(({name}) => name)
    this.#problem =
      this.#hosts.length === 0
        ? {
            problem: `no control plane can be reached (${silent.join(', ')})`,
            fix: `start it, or find out why: clouder ssh ${silent[0] ?? ''} --cluster ${cluster} -- true`,
          }
        : {
            problem:
              'no control plane has /etc/kubernetes/admin.conf: the cluster was never set up, or was reset',
            fix: `clouder kubeadm init ${cluster}`,
          }
  }

  /** Known once `ifThere` gave nothing. */
  get problem(): ApiProblem {
    return this.#problem
  }

  /** Phases that are planned side by side share one attempt. */
  async ifThere(): Promise<KubeClient | undefined> {
    this.#opening ??= this.#openFirst().finally(() => (this.#opening = undefined))
    return this.#open ?? this.#opening
  }

  async #openFirst(): Promise<KubeClient | undefined> {
    if (this.#open !== undefined) return this.#open
    for (const host of this.#hosts) {
      this.#open = await this.#tryHost(host)
      if (this.#open !== undefined) return this.#open
    }
    return undefined
  }

  async required(): Promise<KubeClient> {
    const kube = await this.ifThere()
    if (kube !== undefined) return kube
    const {problem, fix} = this.#problem
    throw new KubernetesError('API_UNREACHABLE', `no API server responds: ${problem}`, {suggestions: [fix]})
  }

  close(): void {
    this.#open?.close()
  }

  async #tryHost(host: Host): Promise<KubeClient | undefined> {
    const kubeconfig = await host.readFile(ADMIN_CONF)
    if (kubeconfig === undefined) return undefined
    const tunnel = await host.forward('127.0.0.1', 6443)
    const kube = await this.#tools.openKube({
      kubeconfig,
      port: tunnel.localPort,
      signal: this.#tools.signal,
    })
    try {
      const [ready, reading] = await Promise.all([kube.fetch('/readyz'), kube.fetch(READ_PATH)])
      if (ready.status === 200 && reading.status !== 403) return kube
      this.#problem = {
        problem:
          ready.status === 200
            ? `the API server on ${host.name} does not authorize its administrator yet`
            : `/readyz on ${host.name} returns ${ready.status}`,
        fix: this.#logOf(host),
      }
    } catch (error) {
      if (!(error instanceof KubernetesError)) throw error
      // The tunnel knows more than who connects to it: that the port is closed there, or what sshd refuses.
      const {message} = tunnel.failure() ?? error
      this.#problem = {problem: message, fix: this.#logOf(host)}
    }
    kube.close()
    await tunnel.close()
    return undefined
  }

  #logOf({name}: Host): string {
    return `see the logs on ${name}: clouder ssh ${name} --cluster ${this.#cluster} -- journalctl -u kubelet -n 50, and /var/log/pods/kube-system_kube-apiserver-*`
  }
}
