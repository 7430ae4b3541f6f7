import type {KubeObject} from '../../kubernetes/types.ts'
import {
  apart,
  asUser,
  disruptionBudget,
  labelsOf,
  metadataOf,
  podMetadataOf,
  selectorOf,
  UNPRIVILEGED,
  type Part,
} from './pods.ts'

export interface Image {
  readonly reference: string
  readonly digest: string
}

/** A program that needs nothing of its node, as most programs of addons are. */
export interface Program {
  readonly part: Part
  readonly image: Image
  readonly command?: readonly string[]
  readonly args: readonly string[]
  readonly env?: readonly object[]
  readonly ports?: Readonly<Record<string, number>>
  readonly readinessProbe?: object
  readonly livenessProbe?: object
  readonly requests: {readonly cpu: string; readonly memory: string}
  readonly volumes?: readonly {readonly volume: object; readonly mount: object}[]
  /** Whether it talks to the API server. */
  readonly token?: boolean
  readonly annotations?: Readonly<Record<string, string>>
  /** Default: `system-cluster-critical`; `none` for what the cluster works without. */
  readonly priority?: 'system-cluster-critical' | 'none'
  readonly user?: number
  readonly tolerations?: readonly object[]
  readonly graceSeconds?: number
  readonly lifecycle?: object
  /** Runs to its end before the program starts, with the same image, environment and volumes. */
  readonly prepare?: {readonly command: readonly string[]}
  /** Of its own network namespace; only those that Kubernetes calls safe. */
  readonly sysctls?: Readonly<Record<string, string>>
}

/** `mounts`: of volumes that the workload has besides. */
export function podTemplateOf(program: Program, mounts: readonly {readonly mount: object}[] = []): object {
  const {part, image, annotations, token = false, user, volumes = [], tolerations, graceSeconds} = program
  const {priority = 'system-cluster-critical', sysctls, prepare} = program
  return {
    metadata: podMetadataOf(part, image, annotations),
    spec: {
      serviceAccountName: part.name,
      automountServiceAccountToken: token,
      enableServiceLinks: false,
      ...(priority === 'none' ? {} : {priorityClassName: priority}),
      nodeSelector: {'kubernetes.io/os': 'linux'},
      ...(tolerations === undefined ? {} : {tolerations}),
      ...(graceSeconds === undefined ? {} : {terminationGracePeriodSeconds: graceSeconds}),
      affinity: apart(part),
      securityContext: {
        ...asUser(user),
        ...(sysctls === undefined
          ? {}
          : {sysctls: Object.entries(sysctls).map(([name, value]) => ({name, value}))}),
      },
      ...(prepare === undefined ? {} : {initContainers: [preparing(program, prepare, mounts)]}),
      containers: [containerOf(program, mounts)],
      ...(volumes.length === 0 ? {} : {volumes: volumes.map(({volume}) => volume)}),
    },
  }
}

function containerOf(program: Program, mounts: readonly {readonly mount: object}[]): object {
  const {part, image, command, args, env, ports = {}, readinessProbe, livenessProbe, requests} = program
  const {volumes = [], lifecycle} = program
  return {
    name: part.name,
    image: image.reference,
    imagePullPolicy: 'IfNotPresent',
    ...(command === undefined ? {} : {command}),
    args,
    ...(env === undefined ? {} : {env}),
    ports: Object.entries(ports).map(([name, containerPort]) => ({name, containerPort, protocol: 'TCP'})),
    ...(readinessProbe === undefined ? {} : {readinessProbe}),
    ...(livenessProbe === undefined ? {} : {livenessProbe}),
    ...(lifecycle === undefined ? {} : {lifecycle}),
    resources: {requests},
    securityContext: UNPRIVILEGED,
    volumeMounts: [...volumes, ...mounts].map(({mount}) => mount),
  }
}

function preparing(
  {image, env, volumes = [], requests}: Program,
  {command}: {readonly command: readonly string[]},
  mounts: readonly {readonly mount: object}[],
): object {
  return {
    name: 'prepare',
    image: image.reference,
    imagePullPolicy: 'IfNotPresent',
    command,
    ...(env === undefined ? {} : {env}),
    resources: {requests},
    securityContext: UNPRIVILEGED,
    volumeMounts: [...volumes, ...mounts].map(({mount}) => mount),
  }
}

/** A Deployment, and with two replicas its PodDisruptionBudget. */
export function deploymentOf(program: Program, replicas = 1, strategy?: object): readonly KubeObject[] {
  const {part} = program
  return [
    {
      apiVersion: 'apps/v1',
      kind: 'Deployment',
      metadata: metadataOf(part),
      spec: {
        replicas,
        selector: {matchLabels: selectorOf(part)},
        ...(strategy === undefined ? {} : {strategy}),
        template: podTemplateOf(program),
      },
    },
    ...(replicas > 1 ? [disruptionBudget(part)] : []),
  ]
}

export interface Claim {
  readonly name: string
  readonly mountPath: string
  readonly size: string
  /** Absent: the default class. */
  readonly storageClassName?: string | undefined
}

/**
 * A StatefulSet with the headless Service that names its pods, and with a claim per pod where there are claims: these
 * stay when it is deleted.
 */
export function statefulSetOf(
  program: Program,
  {
    replicas,
    claims,
    ports,
  }: {replicas: number; claims: readonly Claim[]; ports: Readonly<Record<string, number>>},
): readonly KubeObject[] {
  const {part} = program
  const mounts = claims.map(({name, mountPath}) => ({mount: {name, mountPath}}))
  return [
    serviceOf({...part, name: `${part.name}-pods`}, ports, {
      selector: selectorOf(part),
      clusterIP: 'None',
      publishNotReadyAddresses: true,
    }),
    {
      apiVersion: 'apps/v1',
      kind: 'StatefulSet',
      metadata: metadataOf(part),
      spec: {
        replicas,
        serviceName: `${part.name}-pods`,
        podManagementPolicy: 'Parallel',
        selector: {matchLabels: selectorOf(part)},
        template: podTemplateOf(program, mounts),
        volumeClaimTemplates: claims.map(({name, size, storageClassName}) => ({
          apiVersion: 'v1',
          kind: 'PersistentVolumeClaim',
          metadata: {name, labels: labelsOf(part)},
          spec: {
            accessModes: ['ReadWriteOnce'],
            ...(storageClassName === undefined ? {} : {storageClassName}),
            resources: {requests: {storage: size}},
            volumeMode: 'Filesystem',
          },
        })),
      },
    },
    ...(replicas > 1 ? [disruptionBudget(part)] : []),
  ]
}

/** Never two at once: for what has one volume or no leader election. */
export const RECREATE = {type: 'Recreate'}

export const httpProbe = (port: string, path: string, rest: object = {}) => ({
  httpGet: {path, port},
  timeoutSeconds: 5,
  ...rest,
})

/** Named ports of the pods of a part, on the same numbers unless `ports` says other ones. */
export function serviceOf(
  part: Part,
  ports: Readonly<Record<string, number>>,
  rest: object = {},
): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: metadataOf(part),
    spec: {
      selector: selectorOf(part),
      ports: Object.entries(ports).map(([name, port]) => ({name, port, targetPort: name, protocol: 'TCP'})),
      ...rest,
    },
  }
}
