import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {API_VERSION} from '../../src/api/names.ts'
import {RESOURCES as CUSTOM} from '../../src/api/resources.ts'
import type {HttpAnswer, KubeObject, ObjectRef, WatchQuery} from '../../src/kubernetes/types.ts'
import {fieldSelectorOf, selectorOf} from './fake-kube-json.ts'

interface Resource {
  readonly plural: string
  readonly namespaced: boolean
}

const namespaced = (plural: string): Resource => ({plural, namespaced: true})
const clusterWide = (plural: string): Resource => ({plural, namespaced: false})

/** What this API server serves; any other kind is unknown to it. */
export const RESOURCES: Readonly<Record<string, Readonly<Record<string, Resource>>>> = {
  v1: {
    ConfigMap: namespaced('configmaps'),
    Event: namespaced('events'),
    Namespace: clusterWide('namespaces'),
    Node: clusterWide('nodes'),
    PersistentVolume: clusterWide('persistentvolumes'),
    PersistentVolumeClaim: namespaced('persistentvolumeclaims'),
    ReplicationController: namespaced('replicationcontrollers'),
    ResourceQuota: namespaced('resourcequotas'),
    Pod: namespaced('pods'),
    Secret: namespaced('secrets'),
    Service: namespaced('services'),
    ServiceAccount: namespaced('serviceaccounts'),
  },
  'apps/v1': {
    DaemonSet: namespaced('daemonsets'),
    Deployment: namespaced('deployments'),
    ReplicaSet: namespaced('replicasets'),
    StatefulSet: namespaced('statefulsets'),
  },
  'networking.k8s.io/v1': {Ingress: namespaced('ingresses')},
  'rbac.authorization.k8s.io/v1': {
    ClusterRole: clusterWide('clusterroles'),
    ClusterRoleBinding: clusterWide('clusterrolebindings'),
    Role: namespaced('roles'),
    RoleBinding: namespaced('rolebindings'),
  },
  'policy/v1': {PodDisruptionBudget: namespaced('poddisruptionbudgets')},
  'apiextensions.k8s.io/v1': {CustomResourceDefinition: clusterWide('customresourcedefinitions')},
  'admissionregistration.k8s.io/v1': {
    ValidatingAdmissionPolicy: clusterWide('validatingadmissionpolicies'),
    ValidatingAdmissionPolicyBinding: clusterWide('validatingadmissionpolicybindings'),
  },
  'certificates.k8s.io/v1': {CertificateSigningRequest: clusterWide('certificatesigningrequests')},
  'storage.k8s.io/v1': {StorageClass: clusterWide('storageclasses')},
  'apiregistration.k8s.io/v1': {APIService: clusterWide('apiservices')},
  'node.k8s.io/v1': {RuntimeClass: clusterWide('runtimeclasses')},
  'coordination.k8s.io/v1': {Lease: namespaced('leases')},
  'snapshot.storage.k8s.io/v1': {VolumeSnapshot: namespaced('volumesnapshots')},
  [API_VERSION]: CUSTOM,
}

/** Whose status is a resource of its own: other writes leave it as it is. */
export const WITH_STATUS = new Set(['Pod', 'Node', 'PersistentVolumeClaim', ...Object.keys(CUSTOM)])

export const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/

export function matcherOf(query: WatchQuery): (object: KubeObject) => boolean {
  const byLabel = selectorOf(query.labelSelector ?? '')
  const byField = fieldSelectorOf(query.fieldSelector ?? '')
  return (object) =>
    object.apiVersion === query.apiVersion &&
    object.kind === query.kind &&
    (query.namespace === undefined || object.metadata.namespace === query.namespace) &&
    byLabel(object.metadata.labels ?? {}) &&
    byField(object)
}

export function finalizersOf(object: KubeObject): readonly string[] {
  return z.array(z.string()).parse(object.metadata['finalizers'] ?? [])
}

/** Of custom resources: how often what is wanted has changed. */
export function generationOf(object: KubeObject, before: KubeObject | undefined): number | undefined {
  if (object.apiVersion !== API_VERSION) return undefined
  const last = z.int().parse(before?.metadata['generation'] ?? 0)
  return isDeepStrictEqual(before?.['spec'], object['spec']) && last > 0 ? last : last + 1
}

export const keyOf = ({apiVersion, kind, namespace, name}: ObjectRef): string =>
  [apiVersion, kind, RESOURCES[apiVersion]?.[kind]?.namespaced === true ? (namespace ?? '') : '', name].join(
    ' ',
  )

export const statusBody = (message: string): string => JSON.stringify({kind: 'Status', message})

export const notFound = (path: string): HttpAnswer => ({status: 404, body: statusBody(`${path} not found`)})

/** Text of a Secret becomes data, as the server does when it is written. */
export function normalised(object: KubeObject): KubeObject {
  const {stringData, ...rest} = object
  if (object.kind !== 'Secret' || stringData === undefined) return object
  const texts = z.record(z.string(), z.string()).parse(stringData)
  const coded = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')])
  return {...rest, data: {...z.looseObject({}).parse(object['data'] ?? {}), ...Object.fromEntries(coded)}}
}

export function collectionOf(
  path: string,
): {apiVersion: string; kind: string; namespace?: string} | undefined {
  const [, version, group, namespace, plural] =
    /^\/(?:api\/(v1)|apis\/([^/]+\/[^/]+))(?:\/namespaces\/([^/]+))?\/([^/]+)$/.exec(path) ?? []
  const apiVersion = version ?? group ?? ''
  const kind = Object.entries(RESOURCES[apiVersion] ?? {}).find(
    ([, resource]) => resource.plural === plural,
  )?.[0]
  if (kind === undefined) return undefined
  return {apiVersion, kind, ...(namespace === undefined ? {} : {namespace})}
}

/** What is served below `/apis`, `/api/v1` and `/apis/<group>/<version>`; undefined: nothing is. */
export function discovered(path: string): HttpAnswer | undefined {
  if (path === '/apis') {
    const groups = Object.keys(RESOURCES)
      .filter((version) => version.includes('/'))
      .map((groupVersion) => {
        const [name, version] = groupVersion.split('/')
        return {name, versions: [{groupVersion, version}], preferredVersion: {groupVersion, version}}
      })
    return {status: 200, body: JSON.stringify({kind: 'APIGroupList', groups})}
  }
  const kinds = RESOURCES[path.replace(/^\/apis?\//, '')]
  if (kinds === undefined || !/^\/apis?\//.test(path)) return undefined
  const resources = Object.entries(kinds).map(([kind, {plural, namespaced: isNamespaced}]) => ({
    name: plural,
    kind,
    namespaced: isNamespaced,
    verbs: ['list'],
  }))
  return {status: 200, body: JSON.stringify({kind: 'APIResourceList', resources})}
}
