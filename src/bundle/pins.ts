/** Versions that a Kubernetes version brings with it. */
export interface KubernetesPins {
  /** Tags as `kubeadm config images list` of that version prints them. */
  readonly etcd: string
  readonly coredns: string
  readonly pause: string
}

/** Everything is pinned here, and in `modules/<component>/go.mod`. */
export const PINS: Readonly<Record<string, KubernetesPins>> = {
  '1.34.4': {etcd: '3.6.5-0', coredns: 'v1.12.1', pause: '3.10.1'},
  '1.35.4': {etcd: '3.6.6-0', coredns: 'v1.13.1', pause: '3.10.1'},
}

export const CONTAINERD = '2.3.7'
export const RUNC = '1.4.3'
export const CNI_PLUGINS = '1.9.1'
export const FLANNEL = '0.28.4'
export const CRIU = '4.2'
export const HOST_TOOLS = '1'
export const SMOKE = '2'
/** The restore handler, and the program that packs files for it. */
export const RESTORE = '2'
/** Version of package.json: of the programs that run in the cluster. */
export const CLOUDER = '0.1.0'

/** Of addons, and of the programs that install them. */
export const ADDON_PINS = {
  awsCloudProvider: '1.35.3',
  helm: '4.3.1',
  kubeRouter: '2.1.0',
  localPathProvisioner: '0.0.30',
  metricsServer: '0.9.0',
  shell: '1',
  certManager: '1.21.2',
  /** The one that this Traefik is made for. */
  gatewayApi: '1.4.1',
  traefik: '3.6.12',
  metallb: '0.15.2',
  // Of Debian's testing suite, or newer when it has moved on.
  prometheus: '3.5.3',
  alertmanager: '0.33.1',
  nodeExporter: '1.11.1',
  nats: '2.15.1',
  postgresql: '18.6',
} as const

/** Of images that are taken as their authors publish them: no Go module of them is served. */
export const PUBLISHED_PINS = {
  azureCloudProvider: '1.35.8',
  azureDisk: '1.34.5',
  azureFile: '1.35.7',
  ebs: '1.64.0',
  efs: '3.4.1',
  loadBalancerController: '3.5.0',
  sidecars: {
    attacher: '4.12.0',
    livenessProbe: '2.19.0',
    nodeDriverRegistrar: '2.17.0',
    provisioner: '6.3.0',
    resizer: '2.2.1',
    snapshotter: '8.6.0',
  },
} as const

/** Version of a tag without its leading v and its build number: `3.6.6-0` is module version 3.6.6. */
export function versionOfTag(tag: string): string {
  return tag.replace(/^v/, '').replace(/-\d+$/, '')
}
