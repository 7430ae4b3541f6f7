import {randomBytes} from 'node:crypto'
import {parseAllDocuments} from 'yaml'
import {z} from 'zod'
import {ENCRYPTION_PATH} from '../../src/bootstrap/kubeadm/hardening.ts'
import type {SimulatedMachine} from './simulated-machine.ts'
import {failed, lines, type Behaviour} from './simulated-shell.ts'

const CONFIG = '/etc/kubernetes/clouder/kubeadm.yaml'
const contentOf = (machine: SimulatedMachine, path: string): string => machine.files.get(path)?.content ?? ''

/** The lines of `kubeadm/probe.sh` that tell how Secrets are written. */
export function encryptionLines(machine: SimulatedMachine): readonly string[] {
  const text = contentOf(machine, ENCRYPTION_PATH)
  const provider = /^ {2}- ([a-z]*):/m.exec(text)?.[1] ?? ''
  const decrypts = contentOf(machine, '/etc/kubernetes/manifests/kube-apiserver.yaml').includes(
    'encryption-provider-config',
  )
  return [
    ...(text === '' ? [] : [`encryption=${/- name: (.*)/.exec(text)?.[1] ?? ''} ${provider}`]),
    ...(decrypts ? ['decrypts=yes'] : []),
  ]
}

export const STATIC_PODS = ['etcd', 'kube-apiserver', 'kube-controller-manager', 'kube-scheduler'] as const
type StaticPod = (typeof STATIC_PODS)[number]

const PART_OF: Readonly<Record<StaticPod, string>> = {
  etcd: 'etcd',
  'kube-apiserver': 'apiServer',
  'kube-controller-manager': 'controllerManager',
  'kube-scheduler': 'scheduler',
}

/** What kubeadm makes of a configuration and the patch of the API server, as far as anybody looks at it here. */
function manifestsOf(configuration: string, patch: string): (pod: StaticPod) => string {
  const clusters = parseAllDocuments(configuration).flatMap(
    (document) => clusterSchema.safeParse(document.toJS()).data ?? [],
  )
  return (pod) => {
    const parts = clusters.map((cluster) => cluster[PART_OF[pod]])
    return `${JSON.stringify({pod, parts, patch: pod === 'kube-apiserver' ? patch : ''})}\n`
  }
}
const clusterSchema = z.looseObject({kind: z.literal('ClusterConfiguration')})

const API_SERVER_PATCH = '/etc/kubernetes/clouder/patches/kube-apiserver0+merge.yaml'
const manifestPath = (pod: StaticPod): string => `/etc/kubernetes/manifests/${pod}.yaml`

export function writeManifests(machine: SimulatedMachine, pods: readonly StaticPod[]): void {
  const manifestOf = manifestsOf(contentOf(machine, CONFIG), contentOf(machine, API_SERVER_PATCH))
  for (const pod of pods) machine.put(manifestPath(pod), manifestOf(pod), 0o600)
}

/** `kubeadm/manifests.sh`: what would be written now, beside what there is. */
export const compareManifests: Behaviour = (machine, text) => {
  const [, patch = ''] =
    /kube-apiserver0\+merge\.yaml' <<'CLOUDER_END_OF_FILE'\n([\s\S]*?\n)CLOUDER_END_OF_FILE/.exec(text) ?? []
  const [, configuration = ''] =
    /rendered\.yaml" <<'CLOUDER_END_OF_FILE'\n([\s\S]*?\n)CLOUDER_END_OF_FILE/.exec(text) ?? []
  const manifestOf = manifestsOf(configuration, patch)
  return lines(
    STATIC_PODS.filter((pod) => machine.has(manifestPath(pod)))
      .filter((pod) => contentOf(machine, manifestPath(pod)) !== manifestOf(pod))
      .map((pod) => `manifest=${pod} `),
  )
}

export const replaceManifests: Behaviour = (machine, text) => {
  writeManifests(machine, text.includes('init phase etcd local') ? STATIC_PODS : STATIC_PODS.slice(1))
  return ''
}

/** Where the simulated cluster keeps which key its Secrets were written with. */
export const encryptSecrets: Behaviour = (machine, _text, cluster) => {
  if (!cluster.answers) return failed('connection refused')
  const key = /- name: (.*)/.exec(contentOf(machine, ENCRYPTION_PATH))?.[1]
  if (key === undefined) return failed(`sed: can't read ${ENCRYPTION_PATH}: No such file or directory`)
  const metadata = {name: 'clouder-encrypted-secrets', namespace: 'kube-system'}
  cluster.kube.put({apiVersion: 'v1', kind: 'ConfigMap', metadata, data: {key}})
  return ''
}

/** Makes the key of Secrets, or keeps it and its order. */
export function keepKey(machine: SimulatedMachine, identityFirst: boolean): void {
  const kept = /- name: (.*)/.exec(contentOf(machine, ENCRYPTION_PATH))?.[1]
  const key = `  - secretbox:\n      keys:\n      - name: ${kept ?? `key-${randomBytes(4).toString('hex')}`}\n`
  const identity = '  - identity: {}\n'
  machine.put(ENCRYPTION_PATH, identityFirst ? identity + key : key + identity, 0o600)
}
