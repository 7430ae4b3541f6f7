import {parse} from 'yaml'
import {z} from 'zod'
import type {HostReader} from '../hosts/host.ts'
import {documentsOf, includes} from '../kubeadm/kept.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'

/** Tells, when every Secret was written with a key, which one that was. */
export const ENCRYPTED_REF = {
  apiVersion: 'v1',
  kind: 'ConfigMap',
  namespace: 'kube-system',
  name: 'clouder-encrypted-secrets',
} as const

/** What the API server holds of kubeadm's making; nothing while there is none. */
export interface UploadedState {
  /** Why it must be uploaded; undefined: it is as wanted. */
  readonly configuration: string | undefined
  /** Name of the key that every Secret was written with. */
  readonly encryptedWith: string | undefined
  readonly marked: boolean
  readonly tokensAllowed: boolean
  readonly addons: readonly string[]
  /** Why kube-proxy must be installed again; undefined: it is absent, or as wanted. */
  readonly kubeProxy: string | undefined
}

/** Looks at what kubeadm and clouder keep in the cluster; `configuration` is the text that kubeadm is given. */
export async function readUploaded(
  kube: KubeReader | undefined,
  host: HostReader,
  configuration: string,
  proxy: readonly string[],
): Promise<UploadedState> {
  if (kube === undefined)
    return {
      configuration: 'there is no API server yet',
      marked: false,
      tokensAllowed: false,
      addons: [],
      kubeProxy: undefined,
      encryptedWith: undefined,
    }
  const system = {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-system'}
  const [kubeadmConfig, kubeletConfig, clusterInfo, node, kubeProxy, proxyConfig, dns, dnsConfig, encrypted] =
    await Promise.all([
      kube.get({...system, name: 'kubeadm-config'}),
      kube.get({...system, name: 'kubelet-config'}),
      kube.get({...system, namespace: 'kube-public', name: 'cluster-info'}),
      kube.get({apiVersion: 'v1', kind: 'Node', name: host.machine.name}),
      kube.get({apiVersion: 'apps/v1', kind: 'DaemonSet', namespace: 'kube-system', name: 'kube-proxy'}),
      kube.get({...system, name: 'kube-proxy'}),
      kube.get({apiVersion: 'apps/v1', kind: 'Deployment', namespace: 'kube-system', name: 'coredns'}),
      kube.get({...system, name: 'coredns'}),
      kube.get(ENCRYPTED_REF),
    ])
  return {
    configuration: uploadReason(configuration, kubeadmConfig, kubeletConfig),
    encryptedWith: dataOf(encrypted)['key'],
    marked: node?.metadata.labels?.['node-role.kubernetes.io/control-plane'] !== undefined,
    tokensAllowed: clusterInfo !== undefined,
    addons: [
      ...(kubeProxy === undefined || proxyConfig === undefined ? [] : ['kube-proxy']),
      ...(dns === undefined || dnsConfig === undefined ? [] : ['coredns']),
    ],
    kubeProxy: kubeProxyReason(kubeProxy, proxy),
  }
}

const daemonSetSchema = z.looseObject({
  spec: z
    .looseObject({
      template: z
        .looseObject({
          spec: z
            .looseObject({
              containers: z
                .array(
                  z.looseObject({
                    env: z
                      .array(z.looseObject({name: z.string(), value: z.string().default('')}))
                      .default([]),
                  }),
                )
                .default([]),
            })
            .prefault({}),
        })
        .prefault({}),
    })
    .prefault({}),
})

/** kubeadm gives kube-proxy the proxy variables that it has itself: one made under others keeps those. */
export function kubeProxyReason(
  daemonSet: KubeObject | undefined,
  proxy: readonly string[],
): string | undefined {
  if (daemonSet === undefined) return undefined
  const {containers} = daemonSetSchema.parse(daemonSet).spec.template.spec
  const found = containers
    .flatMap(({env}) => env)
    .filter(({name}) => /_proxy$/i.test(name))
    .map(({name, value}) => `${name}=${value}`)
  const differing = [
    ...found.filter((assignment) => !proxy.includes(assignment)),
    ...proxy.filter((assignment) => !found.includes(assignment)),
  ]
  if (differing.length === 0) return undefined
  const names = new Set(differing.map((assignment) => assignment.slice(0, assignment.indexOf('='))))
  return `the proxy variables of its pods differ from the desired ones: ${[...names].toSorted().join(', ')}`
}

const dataSchema = z.looseObject({data: z.record(z.string(), z.string()).default({})})
const dataOf = (object: KubeObject | undefined): Readonly<Record<string, string>> =>
  object === undefined ? {} : dataSchema.parse(object).data

/** Why what joining nodes are given differs from what is wanted; kubeadm fills in defaults beside it. */
function uploadReason(
  configuration: string,
  kubeadmConfig: KubeObject | undefined,
  kubeletConfig: KubeObject | undefined,
): string | undefined {
  if (kubeadmConfig === undefined || kubeletConfig === undefined)
    return 'kubeadm-config or kubelet-config is absent'
  const wanted = documentsOf(configuration)
  const pairs = [
    ['kubeadm-config', dataOf(kubeadmConfig)['ClusterConfiguration'], wanted.get('ClusterConfiguration')],
    ['kubelet-config', dataOf(kubeletConfig)['kubelet'], wanted.get('KubeletConfiguration')],
  ] as const
  const differing = pairs.filter(([, found, document]) => !includes(yamlOf(found), document))
  return differing.length === 0
    ? undefined
    : `${differing.map(([name]) => name).join(' and ')} ${differing.length === 1 ? 'differs' : 'differ'} from the desired state`
}

/** What cannot be read is written again. */
function yamlOf(text: string | undefined): unknown {
  try {
    return text === undefined ? undefined : parse(text)
  } catch {
    return undefined
  }
}
