import {z} from 'zod'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {cloudFact, onlyOn} from '../cloud-facts.ts'
import {NODE_PORTS_OF_ADDONS} from '../control-planes.ts'
import {withoutDriver} from '../csi/ready.ts'
import {controllerImages, NODE_IMAGES} from '../csi/sidecars.ts'
import {smokeVolumes} from '../csi/smoke.ts'
import {usersOfDriver} from '../csi/used-by.ts'
import {driverController, driverOnNodes, ENDPOINT, nodeNameAs, storageClass} from '../csi/workloads.ts'

const ID = 'aws-efs-csi'
const DRIVER = 'efs.csi.aws.com'
const CLASS = 'efs'
const IMAGE = 'aws-efs-csi-driver'
const ABILITIES = {attaches: false, resizes: false, snapshots: false}
const CONTROLLER = {addon: ID, name: 'aws-efs-csi-controller', namespace: 'kube-system'}
const NODES = {addon: ID, name: 'aws-efs-csi-nodes', namespace: 'kube-system'}

const schema = z.strictObject({
  reclaimPolicy: z
    .enum(['Delete', 'Retain'])
    .default('Delete')
    .describe(
      'what becomes of the access point of a claim that is deleted; its files stay in the file system',
    ),
  uid: z.int().min(0).max(65_535).default(1000).describe('user that owns the files of every claim'),
  gid: z.int().min(0).max(65_535).default(1000).describe('group that owns the files of every claim'),
})
type Parameters = z.output<typeof schema>

const environment = (facts: ClusterFacts) => [
  ...['AWS_REGION', 'AWS_DEFAULT_REGION'].map((name) => ({name, value: cloudFact(facts, 'region')})),
  nodeNameAs('CSI_NODE_NAME'),
]

/** It starts programs of its own that write below /etc/amazon and /var/run, as root. */
const WRITES_ROOT = {
  runAsUser: 0,
  runAsGroup: 0,
  allowPrivilegeEscalation: false,
  capabilities: {drop: ['ALL']},
}

function controller(facts: ClusterFacts): readonly KubeObject[] {
  const {name} = facts.spec
  return driverController(
    {
      part: CONTROLLER,
      driver: DRIVER,
      image: IMAGE,
      abilities: ABILITIES,
      healthPort: NODE_PORTS_OF_ADDONS.efsController,
      // The sidecars reach the socket that the driver makes as root only as root.
      podSecurityContext: {runAsUser: 0, runAsGroup: 0, seccompProfile: {type: 'RuntimeDefault'}},
      container: {
        args: [
          ENDPOINT,
          `--tags=clouder.dev/cluster:${name}`,
          '--delete-access-point-root-dir=false',
          '--logtostderr',
          '--v=2',
        ],
        env: environment(facts),
        securityContext: WRITES_ROOT,
      },
    },
    facts,
  )
}

const nodes = (facts: ClusterFacts): readonly KubeObject[] =>
  driverOnNodes(
    {
      part: NODES,
      driver: DRIVER,
      image: IMAGE,
      hostHealthPort: NODE_PORTS_OF_ADDONS.efsNode,
      container: {
        args: [ENDPOINT, '--logtostderr', '--v=2'],
        env: environment(facts),
        // Mounts, and keeps the state of its TLS tunnels in files.
        securityContext: {privileged: true},
      },
      rules: [{apiGroups: [''], resources: ['nodes'], verbs: ['get']}],
      mounts: [
        {name: 'tunnels', path: '/var/run/efs', type: 'DirectoryOrCreate'},
        {name: 'settings', path: '/var/amazon/efs', type: 'DirectoryOrCreate'},
      ],
    },
    facts,
  )

const objects = ({reclaimPolicy, uid, gid}: Parameters, facts: ClusterFacts): readonly KubeObject[] => [
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: {name: DRIVER, labels: {'clouder.dev/addon': ID}},
    spec: {attachRequired: false},
  },
  storageClass({
    addon: ID,
    name: CLASS,
    driver: DRIVER,
    isDefault: false,
    parameters: {
      provisioningMode: 'efs-ap',
      fileSystemId: cloudFact(facts, 'fileSystemId'),
      directoryPerms: '0770',
      basePath: '/volumes',
      // The driver fills in the variables.
      subPathPattern: '${.PVC.namespace}/${.PVC.name}',
      ensureUniqueDirectory: 'true',
      uid: String(uid),
      gid: String(gid),
    },
    reclaimPolicy,
    // It is in every zone, so that nothing is gained by waiting.
    binding: 'Immediate',
    expandable: false,
    mountOptions: ['tls'],
  }),
  ...controller(facts),
  ...nodes(facts),
]

const unavailable = (spec: ClusterSpec): string | undefined =>
  onlyOn('aws')(spec) ??
  (spec.provider.aws.sharedFiles
    ? undefined
    : 'the cluster has no file system; set spec.provider.aws.sharedFiles: true')

/** Volumes that many nodes share. */
export const awsEfsCsiAddon = defineAddon({
  id: ID,
  title: 'EFS volumes',
  version: '3.4.1',
  description: 'volumes that many nodes write at once, on the file system of the cluster: StorageClass efs',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['shared-volumes'],
  images: [IMAGE, ...new Set([...controllerImages(ABILITIES), ...NODE_IMAGES, 'shell'])],
  parameters: () => schema,
  unavailable,
  cloudActions: () => [
    'ec2:DescribeAvailabilityZones',
    'elasticfilesystem:CreateAccessPoint',
    'elasticfilesystem:DeleteAccessPoint',
    'elasticfilesystem:DescribeAccessPoints',
    'elasticfilesystem:DescribeFileSystems',
    'elasticfilesystem:DescribeMountTargets',
    'elasticfilesystem:TagResource',
  ],
  objects,
  ready: (kube) => withoutDriver(kube, DRIVER),
  usedBy: (kube) => usersOfDriver(kube, DRIVER, [CLASS]),
  smoke: smokeVolumes({storageClassName: CLASS, accessMode: 'ReadWriteMany', size: '1Gi'}),
})
