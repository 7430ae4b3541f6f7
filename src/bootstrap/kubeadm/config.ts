import type {HostFacts} from '../hosts/host.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Endpoint, Machine} from '../../spec/machine.ts'
import {hardenedControlPlane, hardenedKubelet, type HardeningOptions} from './hardening.ts'
import {registrationLabels, registrationTaints} from './node-labels.ts'

const KUBEADM_API = 'kubeadm.k8s.io/v1beta4'
export const CRI_SOCKET = 'unix:///run/containerd/containerd.sock'
export const PATCHES_DIR = '/etc/kubernetes/clouder/patches'
/** Bootstrap tokens live this long; they are deleted once the machines have joined. */
export const TOKEN_TTL_MINUTES = 15

/** A node as far as its kubeadm configuration depends on it. */
export interface ConfiguredNode {
  readonly machine: Machine
  readonly facts: HostFacts
}

type Json = Readonly<Record<string, unknown>>

/** Root of a container without CAP_SYS_RESOURCE: kubelet and kube-proxy must not write what only the host may. */
const isConfined = (facts: HostFacts): boolean => facts.container && !facts.capSysResource

function nodeRegistration(node: ConfiguredNode, spec: ClusterSpec): Json {
  const args: {name: string; value: string}[] = [{name: 'node-ip', value: node.machine.privateAddress}]
  if (node.machine.providerId !== undefined) args.push({name: 'provider-id', value: node.machine.providerId})
  const labels = Object.entries(registrationLabels(node.machine)).map(([key, value]) => `${key}=${value}`)
  if (labels.length > 0) args.push({name: 'node-labels', value: labels.join(',')})
  const taints = registrationTaints(node.machine, spec)
  return {
    name: node.machine.name,
    criSocket: CRI_SOCKET,
    imagePullPolicy: 'IfNotPresent',
    kubeletExtraArgs: args,
    ...(taints === undefined ? {} : {taints}),
    // kubeadm's own look at the kernel fails in a container, where modules and /boot are the host's.
    ...(node.facts.container ? {ignorePreflightErrors: ['SystemVerification']} : {}),
  }
}

/**
 * The documents of `kubeadm init --config` for the first control plane: InitConfiguration, ClusterConfiguration,
 * KubeletConfiguration and KubeProxyConfiguration. Pure; holds no secret and nothing that changes from run to run.
 */
export function initDocuments(
  spec: ClusterSpec,
  endpoint: Endpoint,
  first: ConfiguredNode,
  nodes: readonly ConfiguredNode[],
): readonly Json[] {
  const controlPlanes = nodes.filter(({machine}) => machine.role === 'control-plane')
  const hardened = hardenedControlPlane(hardeningOf(spec))
  const sans = new Set(['127.0.0.1', 'localhost', ...endpoint.certSans, ...spec.api.certSans])
  for (const {machine} of controlPlanes)
    for (const address of [machine.privateAddress, machine.address]) sans.add(address)
  return [
    {
      apiVersion: KUBEADM_API,
      kind: 'InitConfiguration',
      localAPIEndpoint: {advertiseAddress: first.machine.privateAddress, bindPort: 6443},
      nodeRegistration: nodeRegistration(first, spec),
      patches: {directory: PATCHES_DIR},
      // Without an entry kubeadm makes one token of 24 hours; this one has ended before anybody could use it.
      bootstrapTokens: [
        {
          description: 'clouder: created by init, unused',
          ttl: '1s',
          usages: ['signing', 'authentication'],
          groups: ['system:bootstrappers:kubeadm:default-node-token'],
        },
      ],
    },
    {
      apiVersion: KUBEADM_API,
      kind: 'ClusterConfiguration',
      clusterName: spec.name,
      kubernetesVersion: `v${spec.kubernetes.version}`,
      controlPlaneEndpoint: endpoint.internal,
      networking: {
        podSubnet: spec.network.podCidr,
        serviceSubnet: spec.network.serviceCidr,
        dnsDomain: spec.network.dnsDomain,
      },
      ...hardened,
      apiServer: {...hardened.apiServer, certSANs: [...sans].sort()},
    },
    kubeletConfiguration(spec),
    kubeProxyConfiguration(spec, nodes),
  ]
}

/** The controller approves what kubelets serve with: without it they sign that themselves. */
export const hardeningOf = ({checkpoint}: ClusterSpec): HardeningOptions => ({
  kubeletServingCertificates: checkpoint.enabled,
})

/** What every kubelet of the cluster shares; a host's exceptions are its patch. */
export function kubeletConfiguration(spec: ClusterSpec): Json {
  return {
    apiVersion: 'kubelet.config.k8s.io/v1beta1',
    kind: 'KubeletConfiguration',
    cgroupDriver: 'systemd',
    rotateCertificates: true,
    ...hardenedKubelet(hardeningOf(spec)),
    // Also keeps io_uring, which CRIU cannot dump, out of pods that ask for no profile of their own.
    seccompDefault: true,
    containerLogMaxSize: '50Mi',
    // Without it kubeadm writes what suits the first control plane, which other nodes may not have (kubeadm #3034).
    resolvConf: '/etc/resolv.conf',
  }
}

/**
 * Its disk is that of the machine below, of which a share says nothing: by the default, 15 % of a large disk free is
 * too little for any pod (https://kubernetes.io/docs/concepts/scheduling-eviction/node-pressure-eviction/).
 */
const CONTAINER_EVICTION = {
  'memory.available': '100Mi',
  'nodefs.available': '1Gi',
  'nodefs.inodesFree': '5%',
  'imagefs.available': '1Gi',
  'imagefs.inodesFree': '5%',
}

/** The kubelet settings that this host alone needs, from its facts; undefined for an ordinary host. */
export function kubeletPatch(facts: HostFacts): Json | undefined {
  const patch: Record<string, unknown> = {}
  if (facts.cgroupVersion === 1) {
    patch['cgroupDriver'] = 'cgroupfs'
    patch['failCgroupV1'] = false
  }
  if (facts.container) {
    // A container cannot turn off the swap of the machine below it.
    patch['failSwapOn'] = false
    patch['evictionHard'] = CONTAINER_EVICTION
    patch['imageGCHighThresholdPercent'] = 100
  }
  // /etc/resolv.conf names its stub on loopback, where no pod reaches it.
  if (facts.systemdResolved) patch['resolvConf'] = '/run/systemd/resolve/resolv.conf'
  if (isConfined(facts)) patch['featureGates'] = {KubeletInUserNamespace: true}
  return Object.keys(patch).length === 0 ? undefined : patch
}

function kubeProxyConfiguration(spec: ClusterSpec, nodes: readonly ConfiguredNode[]): Json {
  return {
    apiVersion: 'kubeproxy.config.k8s.io/v1alpha1',
    kind: 'KubeProxyConfiguration',
    clusterCIDR: spec.network.podCidr,
    mode: 'iptables',
    // kube-proxy is one DaemonSet: it leaves conntrack's limits alone as soon as one node could not set them.
    ...(nodes.some(({facts}) => isConfined(facts)) ? {conntrack: {maxPerCore: 0}} : {}),
  }
}

/** JoinConfiguration that finds the cluster through a kubeconfig file on the host; `token` is a secret. */
export function joinDocument(options: {
  readonly spec: ClusterSpec
  readonly node: ConfiguredNode
  readonly discoveryFile: string
  readonly token: string
  /** Decrypts the uploaded control-plane certificates; set when the node becomes a control plane. */
  readonly certificateKey?: string
}): Json {
  const {spec, node, certificateKey} = options
  return {
    apiVersion: KUBEADM_API,
    kind: 'JoinConfiguration',
    discovery: {file: {kubeConfigPath: options.discoveryFile}, tlsBootstrapToken: options.token},
    nodeRegistration: nodeRegistration(node, spec),
    patches: {directory: PATCHES_DIR},
    ...(certificateKey === undefined
      ? {}
      : {
          controlPlane: {
            localAPIEndpoint: {advertiseAddress: node.machine.privateAddress, bindPort: 6443},
            certificateKey,
          },
        }),
  }
}

/**
 * The kubeconfig that a joining host discovers the cluster with; `token` is a secret. Without a credential kubeadm asks
 * as nobody in particular, whom the API server answers nothing but its health.
 */
export function discoveryKubeconfig(endpoint: Endpoint, caPem: string, token: string): Json {
  const name = 'discovery'
  return {
    apiVersion: 'v1',
    kind: 'Config',
    clusters: [
      {
        name,
        cluster: {
          server: `https://${endpoint.internal}`,
          'certificate-authority-data': Buffer.from(caPem).toString('base64'),
        },
      },
    ],
    contexts: [{name, context: {cluster: name, user: name}}],
    'current-context': name,
    users: [{name, user: {token}}],
  }
}
