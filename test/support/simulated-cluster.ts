import {randomBytes} from 'node:crypto'
import {z} from 'zod'
import type {KubeObject} from '../../src/kubernetes/types.ts'
import {FakeKube, type FakeKubeOptions} from './fake-kube.ts'
import {sha256Of, type SimulatedMachine} from './simulated-machine.ts'

const savedSchema = z.object({
  name: z.string(),
  kubeletConfig: z.string(),
  objects: z.unknown(),
  members: z.array(z.string()),
  serving: z.array(z.string()),
})

const replicasSchema = z.looseObject({replicas: z.int().default(1)}).prefault({})

const VERSION = '1.35.4'

/** Where a machine keeps what its kubelet says of its node when it registers. */
export const REGISTRATION = '/var/lib/kubelet/kubeadm-flags.env'

const registrationSchema = z.object({
  labels: z.record(z.string(), z.string()).default({}),
  taints: z.array(z.unknown()).default([]),
})

/** What the machines' kubelets and control planes make together: an API server, and what its controllers would do. */
export class SimulatedCluster {
  readonly kube: FakeKube
  /** As kubeadm's configuration has it. */
  name = 'kubernetes'
  /** What kubeadm keeps for the kubelets that join. */
  kubeletConfig = ''
  /** Node names, as kubelets registered them. */
  readonly #members = new Set<string>()
  /** Machines whose API server runs. */
  readonly #serving = new Set<string>()

  constructor(options: Pick<FakeKubeOptions, 'before' | 'onChange'>) {
    this.kube = new FakeKube({
      ...options,
      kubernetesVersion: VERSION,
      statusOf: (object) => this.#statusOf(object),
    })
    this.#close()
  }

  /** Whether an API server answers. */
  get answers(): boolean {
    return this.kube.down === undefined
  }

  /** The API server of a control plane comes up. */
  serve(name: string): void {
    this.#serving.add(name)
    this.kube.down = undefined
  }

  /** A kubelet with credentials makes its Node. */
  register(machine: SimulatedMachine): void {
    this.#members.add(machine.name)
    const said = registrationSchema.parse(JSON.parse(machine.files.get(REGISTRATION)?.content ?? '{}'))
    const labels = {'kubernetes.io/hostname': machine.facts.hostname, ...said.labels}
    const spec = said.taints.length === 0 ? {} : {taints: said.taints}
    this.kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name: machine.name, labels}, spec})
  }

  /** The machine's kubelet and API server are gone; with the last one of these, so is the cluster. */
  leave(name: string): void {
    this.#members.delete(name)
    if (!this.#serving.delete(name) || this.#serving.size > 0) return
    this.kube.wipe()
    this.#close()
  }

  /** A new certificate authority: PEM text. */
  newCa(): string {
    return `-----BEGIN CERTIFICATE-----\n${randomBytes(24).toString('base64')}\n-----END CERTIFICATE-----\n`
  }

  save(): unknown {
    return {
      name: this.name,
      kubeletConfig: this.kubeletConfig,
      objects: this.kube.save(),
      members: [...this.#members],
      serving: [...this.#serving],
    }
  }

  restore(saved: unknown): void {
    const {name, kubeletConfig, objects, members, serving} = savedSchema.parse(saved)
    this.name = name
    this.kubeletConfig = kubeletConfig
    this.kube.restore(objects)
    for (const member of members) this.#members.add(member)
    for (const plane of serving) this.serve(plane)
  }

  #close(): void {
    this.kube.down = 'connect ECONNREFUSED 127.0.0.1:6443'
  }

  #statusOf({kind, metadata: {name}, spec}: KubeObject): unknown {
    if (kind === 'Node') return this.#nodeStatus(name)
    if (kind === 'CustomResourceDefinition') return {conditions: [{type: 'Established', status: 'True'}]}
    if (kind === 'APIService')
      return {conditions: [{type: 'Available', status: this.#networked() ? 'True' : 'False'}]}
    if (kind === 'DaemonSet') {
      const count = this.#members.size
      return {
        observedGeneration: 1,
        desiredNumberScheduled: count,
        updatedNumberScheduled: count,
        numberAvailable: count,
      }
    }
    if (kind === 'Deployment') {
      const {replicas} = replicasSchema.parse(spec)
      const availableReplicas = this.#networked() ? replicas : 0
      return {observedGeneration: 1, replicas, updatedReplicas: replicas, availableReplicas}
    }
    return undefined
  }

  #nodeStatus(name: string): unknown {
    const ready = this.#networked() && this.#members.has(name)
    return {
      conditions: [
        {type: 'Ready', status: ready ? 'True' : 'False', reason: ready ? 'KubeletReady' : 'KubeletNotReady'},
      ],
      nodeInfo: {kubeletVersion: `v${VERSION}`},
    }
  }

  /** Pods get addresses once the network's DaemonSet is there. */
  #networked(): boolean {
    return this.kube.holds({
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      namespace: 'kube-flannel',
      name: 'kube-flannel-ds',
    })
  }
}

/** admin.conf, or another kubeconfig that kubeadm makes; only its shape is real. */
export const kubeconfigText = (options: {
  cluster: string
  caPem: string
  user: string
  credential: string
}): string =>
  [
    'apiVersion: v1',
    'kind: Config',
    'clusters:',
    '- cluster:',
    `    certificate-authority-data: ${Buffer.from(options.caPem).toString('base64')}`,
    '    server: https://10.0.0.1:6443',
    `  name: ${options.cluster}`,
    'contexts:',
    '- context:',
    `    cluster: ${options.cluster}`,
    `    user: ${options.user}`,
    `  name: ${options.user}@${options.cluster}`,
    `current-context: ${options.user}@${options.cluster}`,
    'users:',
    `- name: ${options.user}`,
    '  user:',
    `    client-certificate: ${options.credential}`,
    '',
  ].join('\n')

/** Hex sha256 of the CA in a kubeconfig of that shape; `unreadable` where there is none. */
export function caOf(kubeconfig: string): string {
  const data = /certificate-authority-data: (\S+)/.exec(kubeconfig)?.[1]
  return data === undefined ? 'unreadable' : sha256Of(Buffer.from(data, 'base64').toString('utf8'))
}
