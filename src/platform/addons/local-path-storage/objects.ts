import type {KubeObject} from '../../../kubernetes/types.ts'
import {
  asUser,
  clusterRole,
  labelsOf,
  metadataOf,
  namespaceOf,
  ON_CONTROL_PLANES,
  podMetadataOf,
  role,
  selectorOf,
  serviceAccount,
  UNPRIVILEGED,
} from '../pods.ts'
import {ADDON, NAMESPACE, STORAGE_CLASS} from './names.ts'

export const PROVISIONER = 'rancher.io/local-path'
const PART = {addon: ADDON, name: 'local-path-provisioner', namespace: NAMESPACE}
/** What helper pods run as: an account that may do nothing. */
const HELPER = {...PART, name: 'local-path-helper'}
const CONFIGURATION = 'local-path-config'
const MOUNTED = '/etc/local-path'

interface Image {
  readonly reference: string
  readonly digest: string
}

export interface LocalPathOptions {
  readonly image: Image
  /** Of the pods that make and delete folders on nodes. */
  readonly shell: Image
  readonly path: string
  readonly default: boolean
  readonly reclaimPolicy: 'Delete' | 'Retain'
}

export const localPathObjects = (options: LocalPathOptions): readonly KubeObject[] => [
  // Helper pods mount a folder of their node.
  namespaceOf(ADDON, NAMESPACE, 'privileged'),
  serviceAccount(PART),
  serviceAccount(HELPER),
  ...clusterRole(PART, [
    {apiGroups: [''], resources: ['nodes'], verbs: ['get', 'list', 'watch']},
    // A claim whose node has no room is sent back to the scheduler: its annotation is removed.
    {apiGroups: [''], resources: ['persistentvolumeclaims'], verbs: ['get', 'list', 'watch', 'update']},
    {
      apiGroups: [''],
      resources: ['persistentvolumes'],
      verbs: ['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'],
    },
    {apiGroups: ['storage.k8s.io'], resources: ['storageclasses'], verbs: ['get', 'list', 'watch']},
    {apiGroups: [''], resources: ['events'], verbs: ['create', 'patch', 'update']},
  ]),
  ...role(PART, [
    {apiGroups: [''], resources: ['pods'], verbs: ['get', 'create', 'delete']},
    {apiGroups: [''], resources: ['pods/log'], verbs: ['get']},
  ]),
  configuration(options),
  deployment(options),
  storageClass(options),
]

/** `$VOL_DIR` is below the folder that the pod mounts. The scripts end with an error when it is not set. */
const SETUP = `set -eu
mkdir -m 0777 -p "$VOL_DIR"
`
const TEARDOWN = `set -eu
rm -rf -- "$VOL_DIR"
`

function configuration({path, shell}: LocalPathOptions): KubeObject {
  const helperPod = {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'helper-pod', labels: labelsOf(HELPER)},
    spec: {
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      priorityClassName: 'system-node-critical',
      terminationGracePeriodSeconds: 1,
      // Root: volumes hold files of any user, and the folder that holds volumes is root's.
      securityContext: {runAsUser: 0, runAsGroup: 0, seccompProfile: {type: 'RuntimeDefault'}},
      containers: [
        {
          name: 'helper-pod',
          image: shell.reference,
          imagePullPolicy: 'IfNotPresent',
          resources: {requests: {cpu: '10m', memory: '8Mi'}},
          securityContext: {
            ...UNPRIVILEGED,
            capabilities: {drop: ['ALL'], add: ['DAC_OVERRIDE', 'FOWNER']},
          },
        },
      ],
    },
  }
  return {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {...metadataOf(PART), name: CONFIGURATION},
    data: {
      'config.json': JSON.stringify({
        nodePathMap: [{node: 'DEFAULT_PATH_FOR_NON_LISTED_NODES', paths: [path]}],
      }),
      setup: SETUP,
      teardown: TEARDOWN,
      // JSON is YAML.
      'helperPod.yaml': JSON.stringify(helperPod),
    },
  }
}

function deployment({image}: LocalPathOptions): KubeObject {
  return {
    apiVersion: 'apps/v1',
    kind: 'Deployment',
    metadata: metadataOf(PART),
    spec: {
      // It has no leader election: never two at once.
      replicas: 1,
      strategy: {type: 'Recreate'},
      selector: {matchLabels: selectorOf(PART)},
      template: {
        metadata: podMetadataOf(PART, image),
        spec: {
          serviceAccountName: PART.name,
          automountServiceAccountToken: true,
          enableServiceLinks: false,
          priorityClassName: 'system-cluster-critical',
          nodeSelector: {'kubernetes.io/os': 'linux'},
          tolerations: ON_CONTROL_PLANES,
          securityContext: asUser(),
          containers: [
            {
              name: PART.name,
              image: image.reference,
              imagePullPolicy: 'IfNotPresent',
              command: ['/usr/bin/local-path-provisioner'],
              args: [
                'start',
                `--provisioner-name=${PROVISIONER}`,
                `--namespace=${NAMESPACE}`,
                `--config=${MOUNTED}/config.json`,
                `--configmap-name=${CONFIGURATION}`,
                `--helper-pod-file=${MOUNTED}/helperPod.yaml`,
                `--service-account-name=${HELPER.name}`,
              ],
              // Reads the pod again when the ConfigMap changes.
              env: [{name: 'CONFIG_MOUNT_PATH', value: MOUNTED}],
              resources: {requests: {cpu: '10m', memory: '32Mi'}},
              securityContext: UNPRIVILEGED,
              volumeMounts: [{name: 'configuration', mountPath: MOUNTED, readOnly: true}],
            },
          ],
          volumes: [{name: 'configuration', configMap: {name: CONFIGURATION}}],
        },
      },
    },
  }
}

function storageClass({default: isDefault, reclaimPolicy}: LocalPathOptions): KubeObject {
  return {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'StorageClass',
    metadata: {
      name: STORAGE_CLASS,
      labels: labelsOf(PART),
      annotations: {
        'storageclass.kubernetes.io/is-default-class': String(isDefault),
        // Not hostPath, whose files the kubelet gives to no group.
        defaultVolumeType: 'local',
      },
    },
    provisioner: PROVISIONER,
    reclaimPolicy,
    // The volume is on the node that the scheduler chose for the pod.
    volumeBindingMode: 'WaitForFirstConsumer',
    allowVolumeExpansion: false,
  }
}
