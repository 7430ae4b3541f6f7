import {API_VERSION, KUBELET_CHECKPOINT_DIR, SYSTEM_NAMESPACE} from '../../../api/names.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import {checkpointAccess} from './access.ts'
import {checkpointAdmission} from './admission.ts'
import {addonLabels, AGENT, CONTROLLER, PORT} from './names.ts'

type StoreSpec = ClusterSpec['checkpoint']['store']

export interface CheckpointAddonOptions {
  /** The programs, by the reference and the digest that the bundle carries. */
  readonly image: string
  readonly imageDigest: string
  /** Where checkpoints are kept: `spec.checkpoint.store`. */
  readonly store: StoreSpec
  /** What volumes of a pod may have to be checkpointed with it: `spec.checkpoint.volumeLimitGibibytes`. */
  readonly volumeLimitGibibytes: number
  /**
   * In a cloud, whose metadata service no pod reaches: both programs are in the network of their node, where they get
   * the node's credentials. The controller is on control planes then, the only ones that may delete what is stored.
   */
  readonly hostNetwork?: {
    readonly agentPort: number
    readonly controllerPort: number
    readonly controlPlanes: number
  }
}

const CONTROLLERS = 2
const CONTROL_PLANE = 'node-role.kubernetes.io/control-plane'

/** Where a volume of a store is in both programs: below it, one folder per claim. */
export const CLAIM_DIR = '/var/lib/clouder-claims'

/** What runs checkpoints in a cluster, in the order to apply; the definitions of its kinds go before. */
export function checkpointObjects(options: CheckpointAddonOptions): readonly KubeObject[] {
  return [
    {
      apiVersion: 'v1',
      kind: 'Namespace',
      metadata: {
        name: SYSTEM_NAMESPACE,
        labels: {
          ...addonLabels,
          // The agent sees processes and folders of its node.
          'pod-security.kubernetes.io/enforce': 'privileged',
          'pod-security.kubernetes.io/warn': 'privileged',
        },
      },
    },
    ...checkpointAccess(),
    ...checkpointAdmission(),
    agent(options),
    controller(options),
    disruptionBudget(),
    metricsService(AGENT, options.hostNetwork?.agentPort),
    metricsService(CONTROLLER, options.hostNetwork?.controllerPort),
    {
      apiVersion: API_VERSION,
      kind: 'CheckpointStore',
      metadata: {name: 'default', labels: addonLabels},
      spec: options.store,
    },
  ]
}

const metadata = (name: string) => ({
  name,
  namespace: SYSTEM_NAMESPACE,
  labels: {...addonLabels, 'app.kubernetes.io/name': name},
})
const selector = (name: string) => ({'app.kubernetes.io/name': name})

/** One image has one name from build to build: its digest makes the pods be made anew when it is another one. */
function podMetadata(name: string, {imageDigest}: CheckpointAddonOptions) {
  return {labels: {...addonLabels, ...selector(name)}, annotations: {'clouder.dev/image-digest': imageDigest}}
}

const field = (name: string, fieldPath: string) => ({name, valueFrom: {fieldRef: {fieldPath}}})

const probes = {
  livenessProbe: {
    httpGet: {path: '/healthz', port: 'metrics'},
    periodSeconds: 10,
    failureThreshold: 6,
    timeoutSeconds: 5,
  },
  readinessProbe: {httpGet: {path: '/readyz', port: 'metrics'}, periodSeconds: 2, timeoutSeconds: 5},
}

const program = ({image}: CheckpointAddonOptions, name: 'node-agent' | 'controller', port = PORT) => ({
  name,
  image,
  imagePullPolicy: 'IfNotPresent',
  args: [name],
  ports: [{name: 'metrics', containerPort: port, protocol: 'TCP'}],
  ...probes,
})

const commonEnvironment = (port = PORT) => [
  field('POD_NAME', 'metadata.name'),
  {name: 'PORT', value: String(port)},
  {name: 'CLAIM_DIR', value: CLAIM_DIR},
]

const inHostNetwork = {hostNetwork: true, dnsPolicy: 'ClusterFirstWithHostNet'}

/**
 * glibc gives blocks of megabytes back to the kernel and takes them anew, each page of them cleared: of what sealing
 * costs, that is half. Kept, pieces that are sealed one after another lie in the same pages.
 */
const keptMemory = [
  {name: 'MALLOC_ARENA_MAX', value: '2'},
  {name: 'MALLOC_MMAP_THRESHOLD_', value: String(32 * 1024 ** 2)},
  {name: 'MALLOC_TRIM_THRESHOLD_', value: String(128 * 1024 ** 2)},
]

interface HostFolder {
  readonly name: string
  readonly path: string
  /** `HostToContainer`: what is mounted there on the host later is seen. */
  readonly mountPropagation?: 'HostToContainer'
  readonly readOnly?: true
  readonly mustExist?: true
}

/** What of the node the agent works on. */
const hostFolders: readonly HostFolder[] = [
  {name: 'cgroup', path: '/sys/fs/cgroup', mustExist: true},
  {name: 'clouder', path: '/var/lib/clouder', mountPropagation: 'HostToContainer'},
  // What agents had kubelets write before.
  {name: 'kubelet-checkpoints', path: KUBELET_CHECKPOINT_DIR},
  {name: 'agent-socket', path: '/run/clouder/agent'},
  {name: 'containerd', path: '/run/containerd', mustExist: true, mountPropagation: 'HostToContainer'},
  // Volumes that end with their pods, packed into checkpoints.
  {name: 'pods', path: '/var/lib/kubelet/pods', readOnly: true, mountPropagation: 'HostToContainer'},
  // What containers changed of their files, to be measured.
  {name: 'layers', path: '/var/lib/containerd', readOnly: true},
  {name: 'host-tools', path: '/opt/clouder', readOnly: true},
  // Whether containerd takes images of checkpoints.
  {name: 'containerd-config', path: '/etc/containerd', readOnly: true},
]

/** A folder of the store, or its volume. */
function storeVolumes({directory, persistentVolumeClaim: claim}: StoreSpec) {
  if (claim !== undefined) {
    return [
      {
        volume: {name: 'store', persistentVolumeClaim: {claimName: claim.claimName}},
        mount: {name: 'store', mountPath: `${CLAIM_DIR}/${claim.claimName}`},
      },
    ]
  }
  if (directory === undefined || directory.path.startsWith('/var/lib/clouder/')) return []
  return [
    {
      volume: {name: 'store', hostPath: {path: directory.path, type: 'DirectoryOrCreate'}},
      mount: {name: 'store', mountPath: directory.path, mountPropagation: 'HostToContainer'},
    },
  ]
}

const token = {
  volume: {
    name: 'token',
    projected: {
      defaultMode: 0o440,
      sources: [
        {serviceAccountToken: {path: 'token', expirationSeconds: 3600}},
        {configMap: {name: 'kube-root-ca.crt', items: [{key: 'ca.crt', path: 'ca.crt'}]}},
        {
          downwardAPI: {
            items: [{path: 'namespace', fieldRef: {apiVersion: 'v1', fieldPath: 'metadata.namespace'}}],
          },
        },
      ],
    },
  },
  mount: {name: 'token', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount', readOnly: true},
}
const temporary = {
  volume: {name: 'tmp', emptyDir: {sizeLimit: '1Gi'}},
  mount: {name: 'tmp', mountPath: '/tmp'},
}

function agent(options: CheckpointAddonOptions): KubeObject {
  const volumes = [
    ...hostFolders.map(({name, path, mustExist, mountPropagation, readOnly}) => ({
      volume: {name, hostPath: {path, type: mustExist === true ? 'Directory' : 'DirectoryOrCreate'}},
      mount: {
        name,
        mountPath: path,
        ...(mountPropagation === undefined ? {} : {mountPropagation}),
        ...(readOnly === undefined ? {} : {readOnly}),
      },
    })),
    ...storeVolumes(options.store),
    token,
    temporary,
  ]
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: metadata(AGENT),
    spec: {
      selector: {matchLabels: selector(AGENT)},
      updateStrategy: {type: 'RollingUpdate', rollingUpdate: {maxUnavailable: '50%'}},
      template: {
        metadata: podMetadata(AGENT, options),
        spec: {
          serviceAccountName: AGENT,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          priorityClassName: 'system-node-critical',
          nodeSelector: {'kubernetes.io/os': 'linux'},
          tolerations: [{operator: 'Exists'}],
          hostPID: true,
          ...(options.hostNetwork === undefined ? {} : inHostNetwork),
          terminationGracePeriodSeconds: 10,
          securityContext: {runAsUser: 0, runAsGroup: 0, seccompProfile: {type: 'RuntimeDefault'}},
          containers: [
            {
              ...program(options, 'node-agent', options.hostNetwork?.agentPort),
              env: [
                ...commonEnvironment(options.hostNetwork?.agentPort),
                ...keptMemory,
                field('NODE_NAME', 'spec.nodeName'),
                {name: 'VOLUME_LIMIT_BYTES', value: String(options.volumeLimitGibibytes * 1024 ** 3)},
              ],
              // Pods stand still while it works: on a busy node it needs a share. It was seen to hold 170 MiB, and 390 MiB
              // while it sealed 700 MB. No limit of memory: what it writes to the file system for dumps is counted as its
              // own, a gigabyte for a pod of that size, and that is bounded by what the node can spare.
              resources: {requests: {cpu: '100m', memory: '192Mi'}},
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                // DAC_OVERRIDE: files of root and of others, cgroups. SYS_PTRACE: /proc/<pid> of others. KILL: ends a
                // frozen pod.
                capabilities: {drop: ['ALL'], add: ['DAC_OVERRIDE', 'KILL', 'SYS_PTRACE']},
              },
              volumeMounts: volumes.map(({mount}) => mount),
            },
          ],
          volumes: volumes.map(({volume}) => volume),
        },
      },
    },
  }
}

function controller(options: CheckpointAddonOptions): KubeObject {
  const {hostNetwork} = options
  const {directory, ...rest} = options.store
  // A folder of a node is for the node's agent alone.
  const volumes = [...storeVolumes(rest), token, temporary]
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadata(CONTROLLER),
    spec: {
      // Two on one node would want the same port of it.
      replicas: Math.min(CONTROLLERS, hostNetwork?.controlPlanes ?? CONTROLLERS),
      selector: {matchLabels: selector(CONTROLLER)},
      strategy: {
        type: 'RollingUpdate',
        rollingUpdate: {maxUnavailable: 1, maxSurge: hostNetwork === undefined ? 1 : 0},
      },
      template: {
        metadata: podMetadata(CONTROLLER, options),
        spec: {
          serviceAccountName: CONTROLLER,
          automountServiceAccountToken: false,
          enableServiceLinks: false,
          priorityClassName: 'system-cluster-critical',
          ...(hostNetwork === undefined ? {} : inHostNetwork),
          nodeSelector: {
            'kubernetes.io/os': 'linux',
            ...(hostNetwork === undefined ? {} : {[CONTROL_PLANE]: ''}),
          },
          tolerations: [
            {key: CONTROL_PLANE, operator: 'Exists', effect: 'NoSchedule'},
            // Half a minute, not five: moves of pods off a node that is gone wait for it.
            ...['not-ready', 'unreachable'].map((state) => ({
              key: `node.kubernetes.io/${state}`,
              operator: 'Exists',
              effect: 'NoExecute',
              tolerationSeconds: 30,
            })),
          ],
          affinity: {
            podAntiAffinity: {
              preferredDuringSchedulingIgnoredDuringExecution: [
                {
                  weight: 100,
                  podAffinityTerm: {
                    topologyKey: 'kubernetes.io/hostname',
                    labelSelector: {matchLabels: selector(CONTROLLER)},
                  },
                },
              ],
            },
          },
          securityContext: {
            runAsNonRoot: true,
            runAsUser: 65_532,
            runAsGroup: 65_532,
            fsGroup: 65_532,
            seccompProfile: {type: 'RuntimeDefault'},
          },
          containers: [
            {
              ...program(options, 'controller', hostNetwork?.controllerPort),
              env: [
                ...commonEnvironment(hostNetwork?.controllerPort),
                {name: 'AGENT_PORT', value: String(hostNetwork?.agentPort ?? PORT)},
              ],
              resources: {requests: {cpu: '20m', memory: '96Mi'}, limits: {memory: '512Mi'}},
              securityContext: {
                allowPrivilegeEscalation: false,
                readOnlyRootFilesystem: true,
                capabilities: {drop: ['ALL']},
              },
              volumeMounts: volumes.map(({mount}) => mount),
            },
          ],
          volumes: volumes.map(({volume}) => volume),
        },
      },
    },
  }
}

const disruptionBudget = (): KubeObject => ({
  apiVersion: 'policy/v1',
  kind: 'PodDisruptionBudget',
  metadata: metadata(CONTROLLER),
  spec: {maxUnavailable: 1, selector: {matchLabels: selector(CONTROLLER)}},
})

const metricsService = (name: string, port = PORT): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Service',
  metadata: {
    ...metadata(name),
    annotations: {'prometheus.io/scrape': 'true', 'prometheus.io/port': String(port)},
  },
  spec: {
    clusterIP: 'None',
    selector: selector(name),
    ports: [{name: 'metrics', port, targetPort: 'metrics', protocol: 'TCP'}],
  },
})
