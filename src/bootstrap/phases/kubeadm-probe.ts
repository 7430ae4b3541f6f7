import {createHash} from 'node:crypto'
import type {HostReader} from '../hosts/host.ts'
import {ENCRYPTION_PATH} from '../kubeadm/hardening.ts'
import type {Renderer} from '../../base/renderer.ts'
import {probeOutput} from './probe.ts'

export const KUBEADM_CONFIG_PATH = '/etc/kubernetes/clouder/kubeadm.yaml'
const PKI = '/etc/kubernetes/pki'
const MANIFESTS = '/etc/kubernetes/manifests'

const withKey = (name: string): string[] => [`${PKI}/${name}.crt`, `${PKI}/${name}.key`]

/** What `kubeadm init phase certs all` makes. */
export const CERTIFICATE_PATHS: readonly string[] = [
  ...['ca', 'apiserver', 'apiserver-kubelet-client', 'apiserver-etcd-client'].flatMap(withKey),
  ...['front-proxy-ca', 'front-proxy-client'].flatMap(withKey),
  ...['etcd/ca', 'etcd/server', 'etcd/peer', 'etcd/healthcheck-client'].flatMap(withKey),
  `${PKI}/sa.key`,
  `${PKI}/sa.pub`,
]
/** What `kubeadm init phase kubeconfig all` makes. */
export const KUBECONFIG_PATHS = ['admin', 'super-admin', 'kubelet', 'controller-manager', 'scheduler'].map(
  (name) => `/etc/kubernetes/${name}.conf`,
)
/** The static pods of a control plane. */
export const MANIFEST_PATHS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'].map(
  (name) => `${MANIFESTS}/${name}.yaml`,
)

/** What is on a host of kubeadm's making. */
export interface KubeadmState {
  readonly paths: ReadonlySet<string>
  /** Hex sha256 by path, of files that clouder writes. */
  readonly digests: ReadonlyMap<string, string>
  readonly kubeletActive: boolean
  /** Whether kubelet.conf points to the rotating client certificate. */
  readonly rotating: boolean
  /** Hex sha256 of /etc/kubernetes/pki/ca.crt. */
  readonly caSha256: string | undefined
  /** The name of the key that Secrets are encrypted with, and whether they are written with it; undefined: there is none. */
  readonly encryption: {readonly key: string; readonly stage: 'readable' | 'encrypted'} | undefined
  /** Whether the manifest of the API server lets it read encrypted Secrets. */
  readonly decrypts: boolean
}

/** Whether a control plane was made here: from then on what it runs is compared with what is wanted. */
export const isManaged = ({paths, digests}: KubeadmState): boolean =>
  digests.has(KUBEADM_CONFIG_PATH) && MANIFEST_PATHS.every((path) => paths.has(path))

/** Reads, in one round trip, which paths exist and the digests of others. Throws HostCommandError. */
export async function probeKubeadm(
  host: HostReader,
  renderer: Renderer,
  paths: readonly string[],
  digested: readonly string[],
  signal: AbortSignal,
): Promise<KubeadmState> {
  const text = renderer.render('kubeadm/probe.sh', {
    paths: [...paths],
    digested: [...digested],
    encryption: digested.includes(KUBEADM_CONFIG_PATH) ? ENCRYPTION_PATH : '',
  })
  return parseKubeadmProbe(await probeOutput(host, {name: 'kubeadm/probe.sh', text}, signal))
}

export function parseKubeadmProbe(stdout: string): KubeadmState {
  const lines = stdout.split('\n').filter((line) => line.includes('='))
  const pairs = lines.map(
    (line) => [line.slice(0, line.indexOf('=')), line.slice(line.indexOf('=') + 1)] as const,
  )
  const last = new Map(pairs)
  const [key = '', provider] = last.get('encryption')?.split(' ') ?? []
  return {
    paths: new Set(pairs.filter(([key]) => key === 'path').map(([, value]) => value)),
    digests: new Map(
      pairs
        .filter(([key]) => key.startsWith('sha256:'))
        .map(([key, value]) => [key.slice('sha256:'.length), value]),
    ),
    kubeletActive: last.get('kubelet') === 'active',
    rotating: last.get('rotating') === 'yes',
    caSha256: last.get('ca'),
    encryption: key === '' ? undefined : {key, stage: provider === 'secretbox' ? 'encrypted' : 'readable'},
    decrypts: last.get('decrypts') === 'yes',
  }
}

/** Hex sha256 of a text as it is written to a host, with its final newline. */
export const textSha256 = (text: string): string => createHash('sha256').update(`${text}\n`).digest('hex')
