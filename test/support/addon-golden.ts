import {readFileSync, writeFileSync} from 'node:fs'
import {join} from 'node:path'
import {expect} from 'vitest'
import {stringify} from 'yaml'
import {z} from 'zod'
import type {Addon, ClusterFacts} from '../../src/platform/addons/addon.ts'
import type {KubeObject} from '../../src/kubernetes/types.ts'
import {specOf} from './phase-context.ts'

const GOLDEN = join(import.meta.dirname, '../unit/platform/addons/golden')

/** The facts of cluster demo; images and manifests are named after what is asked for. */
export function factsOf(body = ''): ClusterFacts {
  return {
    spec: specOf(body),
    apiAddress: '10.0.0.10:6443',
    cloud: {},
    image: (name) => ({reference: `images.test/${name}:1`, digest: `sha256:${name}`}),
    manifests: (name) => [
      {apiVersion: 'apiextensions.k8s.io/v1', kind: 'CustomResourceDefinition', metadata: {name}},
    ],
  }
}

export interface Rendered {
  readonly parameters?: unknown
  /** YAML flow text below `spec:`. */
  readonly spec?: string
}

export const renderedBy = (addon: Addon, {parameters = {}, spec}: Rendered = {}): readonly KubeObject[] =>
  addon.objects(parameters, factsOf(spec))

/** Compares with a golden file, which `UPDATE_GOLDEN=1` writes. */
export function expectGolden(name: string, objects: readonly KubeObject[]): void {
  const path = join(GOLDEN, `${name}.yaml`)
  const text = objects.map((object) => stringify(object, {lineWidth: 110})).join('---\n')
  if (process.env['UPDATE_GOLDEN'] === '1') writeFileSync(path, text)
  expect(readFileSync(path, 'utf8'), 'rewrite it with UPDATE_GOLDEN=1').toBe(text)
}

const securitySchema = z.looseObject({
  runAsNonRoot: z.boolean().optional(),
  runAsUser: z.int().optional(),
  seccompProfile: z.looseObject({type: z.string()}).optional(),
  allowPrivilegeEscalation: z.boolean().optional(),
  readOnlyRootFilesystem: z.boolean().optional(),
  capabilities: z
    .looseObject({drop: z.array(z.string()).default([]), add: z.array(z.string()).default([])})
    .optional(),
})
const containerSchema = z.looseObject({
  name: z.string(),
  image: z.string(),
  imagePullPolicy: z.string().optional(),
  resources: z.looseObject({requests: z.record(z.string(), z.string()).optional()}).optional(),
  readinessProbe: z.unknown().optional(),
  securityContext: securitySchema.optional(),
})
const workloadSchema = z.looseObject({
  replicas: z.int().optional(),
  selector: z.looseObject({matchLabels: z.record(z.string(), z.string())}),
  template: z.looseObject({
    metadata: z.looseObject({labels: z.record(z.string(), z.string())}),
    spec: z.looseObject({
      securityContext: securitySchema.optional(),
      priorityClassName: z.string().optional(),
      hostNetwork: z.boolean().optional(),
      hostPID: z.boolean().optional(),
      initContainers: z.array(containerSchema).default([]),
      containers: z.array(containerSchema),
    }),
  }),
})
const rulesSchema = z.array(
  z.looseObject({
    resources: z.array(z.string()).default([]),
    apiGroups: z.array(z.string()).default([]),
    verbs: z.array(z.string()),
  }),
)

/** What every workload and role of an addon has to do without: each use of it, as `Deployment x: …`. */
export function privilegesOf(objects: readonly KubeObject[]): readonly string[] {
  return objects.flatMap((object) => {
    const at = `${object.kind} ${object.metadata.name}`
    if (object['rules'] !== undefined && object.kind.endsWith('Role'))
      return rulesSchema
        .parse(object['rules'])
        .filter(({resources, apiGroups, verbs}) => [...resources, ...apiGroups, ...verbs].includes('*'))
        .map(() => `${at}: a rule with *`)
    if (!['Deployment', 'DaemonSet', 'StatefulSet'].includes(object.kind)) return []
    return workloadPrivileges(object).map((problem) => `${at}: ${problem}`)
  })
}

function workloadPrivileges(object: KubeObject): readonly string[] {
  const {template} = workloadSchema.parse(object['spec'])
  const {securityContext: pod = {}, initContainers, containers, ...rest} = template.spec
  const ofPod = [
    ...(rest.hostNetwork === true ? ['hostNetwork'] : []),
    ...(rest.hostPID === true ? ['hostPID'] : []),
    ...(pod.runAsNonRoot === true && pod.runAsUser !== 0 ? [] : ['runs as root']),
    ...(pod.seccompProfile?.type === 'RuntimeDefault' ? [] : ['no seccomp profile']),
  ]
  const ofContainers = [...initContainers, ...containers].flatMap(({name, securityContext: own = {}}) =>
    [
      ...(own.allowPrivilegeEscalation === false ? [] : ['allows privilege escalation']),
      ...(own.readOnlyRootFilesystem === true ? [] : ['writable root file system']),
      ...(own.capabilities?.drop.includes('ALL') === true ? [] : ['keeps capabilities']),
      ...(own.capabilities?.add.map((capability) => `has ${capability}`) ?? []),
    ].map((problem) => `${name} ${problem}`),
  )
  return [...ofPod, ...ofContainers]
}

/** What is wrong with the objects of an addon whatever it does. */
export function faultsOf(addon: Addon, objects: readonly KubeObject[]): readonly string[] {
  const keys = objects.map(({kind, metadata}) => `${kind} ${metadata.namespace ?? ''}/${metadata.name}`)
  const twice = keys.filter((key, at) => keys.indexOf(key) !== at).map((key) => `${key}: is there twice`)
  const unlabelled = objects
    .filter(
      ({kind, metadata}) =>
        kind !== 'CustomResourceDefinition' && metadata.labels?.['clouder.dev/addon'] !== addon.id,
    )
    .map(({kind, metadata}) => `${kind} ${metadata.name}: no label of the addon`)
  return [...twice, ...unlabelled, ...objects.flatMap((object) => workloadFaults(addon, object, objects))]
}

function workloadFaults(addon: Addon, object: KubeObject, all: readonly KubeObject[]): readonly string[] {
  if (!['Deployment', 'DaemonSet', 'StatefulSet'].includes(object.kind)) return []
  const {replicas = 1, selector, template} = workloadSchema.parse(object['spec'])
  const {initContainers, containers} = template.spec
  const images = new Set(addon.images.map((name) => `images.test/${name}:1`))
  const unselected = Object.entries(selector.matchLabels).some(
    ([key, value]) => template.metadata.labels[key] !== value,
  )
  const budgets = all.filter(
    ({kind, metadata}) => kind === 'PodDisruptionBudget' && metadata.name === object.metadata.name,
  )
  const ofContainers = [...initContainers, ...containers].flatMap((container) => [
    ...(images.has(container.image)
      ? []
      : [`${container.name} runs ${container.image}, which it does not list`]),
    ...(container.imagePullPolicy === 'IfNotPresent' ? [] : [`${container.name} may be pulled again`]),
    ...['cpu', 'memory']
      .filter((name) => container.resources?.requests?.[name] === undefined)
      .map((name) => `${container.name} requests no ${name}`),
  ])
  const unprobed = containers.filter(({readinessProbe}) => readinessProbe === undefined)
  return [
    ...(unselected ? ['its selector does not select its pods'] : []),
    ...(replicas > 1 && budgets.length === 0 ? ['several replicas and no PodDisruptionBudget'] : []),
    ...ofContainers,
    ...unprobed.map(({name}) => `${name} has no readiness probe`),
  ].map((fault) => `${object.kind} ${object.metadata.name}: ${fault}`)
}
