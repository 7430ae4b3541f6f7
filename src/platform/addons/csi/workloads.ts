import type {KubeObject} from '../../../kubernetes/types.ts'
import type {ClusterFacts} from '../addon.ts'
import {controllerReplicas, ON_CONTROL_PLANE_HOSTS, oneOnEachHost, onLoopback} from '../control-planes.ts'
import {
  clusterRole,
  disruptionBudget,
  metadataOf,
  type Part,
  podMetadataOf,
  role,
  type Rule,
  selectorOf,
  serviceAccount,
} from '../pods.ts'
import {controllerRules, type DriverAbilities, leaseRules} from './access.ts'
import {controllerSidecars, livenessSidecar, registrarSidecar, SOCKET, SOCKET_MOUNT} from './sidecars.ts'

const KUBELET = '/var/lib/kubelet'
const TOKEN = {automountServiceAccountToken: true}

/** A container of a driver, without what every one of them has. */
interface DriverContainer {
  readonly args: readonly string[]
  readonly env?: readonly object[]
  readonly securityContext: object
  readonly volumeMounts?: readonly object[]
  /** Waits, when the node goes down, until its volumes are detached. */
  readonly preStop?: readonly string[]
}

interface DriverPods {
  readonly part: Part
  /** As CSINode names it: `ebs.csi.aws.com`. */
  readonly driver: string
  /** Name of the driver's image. */
  readonly image: string
  readonly container: DriverContainer
  readonly annotations?: object
  readonly volumes?: readonly object[]
}

interface ControllerPods extends DriverPods {
  readonly abilities: DriverAbilities
  /** On loopback of the node. */
  readonly healthPort: number
  readonly podSecurityContext: object
}

interface NodePods extends DriverPods {
  /**
   * On loopback of the node: where the driver mounts file systems of the network, whose connections must outlive the
   * pod of the driver. Absent: a pod network of its own.
   */
  readonly hostHealthPort?: number
  readonly rules: readonly Rule[]
  readonly mounts: readonly {readonly name: string; readonly path: string; readonly type: string}[]
}

function driverContainer({image, container}: DriverPods, {image: imageOf}: ClusterFacts) {
  const {args, env = [], securityContext, volumeMounts = [], preStop} = container
  return {
    name: 'driver',
    image: imageOf(image).reference,
    imagePullPolicy: 'IfNotPresent',
    args: [...args],
    env: [...env],
    resources: {requests: {cpu: '10m', memory: '48Mi'}},
    securityContext,
    volumeMounts: [SOCKET_MOUNT, ...volumeMounts],
    terminationMessagePolicy: 'FallbackToLogsOnError',
    ...(preStop === undefined ? {} : {lifecycle: {preStop: {exec: {command: [...preStop]}}}}),
  }
}

/** The controller of a driver on control planes, with its sidecars and what they may do. */
export function driverController(pods: ControllerPods, facts: ClusterFacts): readonly KubeObject[] {
  const {part, abilities, driver, healthPort, podSecurityContext, annotations = {}, volumes = []} = pods
  const replicas = controllerReplicas(facts.spec)
  const {strategy, affinity} = oneOnEachHost(part)
  const probe = onLoopback(healthPort)
  const deployment = {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(part),
    spec: {
      replicas,
      strategy,
      selector: {matchLabels: selectorOf(part)},
      template: {
        metadata: podMetadataOf(part, facts.image(pods.image), annotations),
        spec: {
          ...ON_CONTROL_PLANE_HOSTS,
          ...TOKEN,
          serviceAccountName: part.name,
          affinity,
          securityContext: podSecurityContext,
          containers: [
            {
              ...driverContainer(pods, facts),
              livenessProbe: {...probe, initialDelaySeconds: 20, timeoutSeconds: 10, failureThreshold: 5},
              readinessProbe: {...probe, timeoutSeconds: 10},
            },
            ...controllerSidecars(abilities, facts),
            livenessSidecar(`127.0.0.1:${healthPort}`, facts),
          ],
          volumes: [{name: 'socket', emptyDir: {}}, ...volumes],
        },
      },
    },
  }
  return [
    serviceAccount(part),
    ...clusterRole(part, controllerRules(abilities)),
    ...role(part, leaseRules(driver, abilities)),
    deployment,
    ...(replicas > 1 ? [disruptionBudget(part)] : []),
  ]
}

/** The part of a driver that mounts volumes, on every node. */
export function driverOnNodes(pods: NodePods, facts: ClusterFacts): readonly KubeObject[] {
  const {part, driver, hostHealthPort, rules, mounts, annotations = {}, volumes = []} = pods
  const health =
    hostHealthPort === undefined
      ? {endpoint: ':9808', probe: {httpGet: {port: 9808, path: '/healthz'}}}
      : {endpoint: `127.0.0.1:${hostHealthPort}`, probe: onLoopback(hostHealthPort)}
  const container = driverContainer(pods, facts)
  const daemonSet = {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: metadataOf(part),
    spec: {
      selector: {matchLabels: selectorOf(part)},
      updateStrategy: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: '10%'}},
      template: {
        metadata: podMetadataOf(part, facts.image(pods.image), annotations),
        spec: {
          ...TOKEN,
          ...(hostHealthPort === undefined ? {} : {hostNetwork: true, dnsPolicy: 'Default'}),
          serviceAccountName: part.name,
          priorityClassName: 'system-node-critical',
          tolerations: [{operator: 'Exists'}],
          // The folders of the kubelet are root's, and so is the socket that the sidecars talk to.
          securityContext: {runAsUser: 0, runAsGroup: 0, seccompProfile: {type: 'RuntimeDefault'}},
          containers: [
            {
              ...container,
              livenessProbe: {
                ...health.probe,
                initialDelaySeconds: 20,
                timeoutSeconds: 10,
                failureThreshold: 5,
              },
              readinessProbe: {...health.probe, timeoutSeconds: 10},
              volumeMounts: [
                ...container.volumeMounts,
                {name: 'kubelet', mountPath: KUBELET, mountPropagation: 'Bidirectional'},
                ...mounts.map(({name, path}) => ({name, mountPath: path})),
              ],
            },
            registrarSidecar(driver, facts),
            livenessSidecar(health.endpoint, facts),
          ],
          volumes: [
            {name: 'socket', hostPath: {path: `${KUBELET}/plugins/${driver}`, type: 'DirectoryOrCreate'}},
            {name: 'registration', hostPath: {path: `${KUBELET}/plugins_registry`, type: 'Directory'}},
            {name: 'kubelet', hostPath: {path: KUBELET, type: 'Directory'}},
            ...mounts.map(({name, path, type}) => ({name, hostPath: {path, type}})),
            ...volumes,
          ],
        },
      },
    },
  }
  return [serviceAccount(part), ...(rules.length === 0 ? [] : clusterRole(part, rules)), daemonSet]
}

export const ENDPOINT = `--endpoint=unix://${SOCKET}`

/** The name of the node that a pod runs on, as a variable. */
export const nodeNameAs = (name: string) => ({name, valueFrom: {fieldRef: {fieldPath: 'spec.nodeName'}}})

/** Needs devices, mkfs and mounts that the rest of the node sees. */
export const PRIVILEGED = {privileged: true, readOnlyRootFilesystem: true}

/** As their authors run the controllers of Azure, less every capability: no other user has been tried. */
export const AS_ROOT_WITHOUT_CAPABILITIES = {
  podSecurityContext: {runAsUser: 0, runAsGroup: 0, seccompProfile: {type: 'RuntimeDefault'}},
  securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: ['ALL']}},
}

interface ClassOptions {
  readonly addon: string
  readonly name: string
  readonly driver: string
  readonly isDefault: boolean
  readonly parameters: Readonly<Record<string, string>>
  readonly reclaimPolicy: 'Delete' | 'Retain'
  readonly binding: 'WaitForFirstConsumer' | 'Immediate'
  readonly expandable: boolean
  readonly mountOptions?: readonly string[]
}

export const storageClass = (options: ClassOptions): KubeObject => ({
  apiVersion: 'storage.k8s.io/v1',
  kind: 'StorageClass',
  metadata: {
    name: options.name,
    labels: {'clouder.dev/addon': options.addon},
    annotations: {'storageclass.kubernetes.io/is-default-class': String(options.isDefault)},
  },
  provisioner: options.driver,
  parameters: options.parameters,
  reclaimPolicy: options.reclaimPolicy,
  volumeBindingMode: options.binding,
  allowVolumeExpansion: options.expandable,
  ...(options.mountOptions === undefined ? {} : {mountOptions: options.mountOptions}),
})

export const snapshotClass = (options: {
  readonly addon: string
  readonly name: string
  readonly driver: string
  readonly parameters?: Readonly<Record<string, string>>
}): KubeObject => ({
  apiVersion: 'snapshot.storage.k8s.io/v1',
  kind: 'VolumeSnapshotClass',
  metadata: {
    name: options.name,
    labels: {'clouder.dev/addon': options.addon},
    annotations: {'snapshot.storage.kubernetes.io/is-default-class': 'true'},
  },
  driver: options.driver,
  deletionPolicy: 'Delete',
  ...(options.parameters === undefined ? {} : {parameters: options.parameters}),
})
