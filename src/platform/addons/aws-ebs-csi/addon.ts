import {z} from 'zod'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {cloudFact, onlyOn} from '../cloud-facts.ts'
import {NODE_PORTS_OF_ADDONS} from '../control-planes.ts'
import {withoutDriver} from '../csi/ready.ts'
import {controllerImages, NODE_IMAGES} from '../csi/sidecars.ts'
import {smokeVolumes} from '../csi/smoke.ts'
import {usersOfDriver} from '../csi/used-by.ts'
import {
  driverController,
  driverOnNodes,
  ENDPOINT,
  nodeNameAs,
  PRIVILEGED,
  snapshotClass,
  storageClass,
} from '../csi/workloads.ts'
import {asUser, UNPRIVILEGED} from '../pods.ts'

const ID = 'aws-ebs-csi'
const DRIVER = 'ebs.csi.aws.com'
const CLASS = 'gp3'
const SNAPSHOT_CLASS = 'ebs'
const IMAGE = 'aws-ebs-csi-driver'
const ABILITIES = {attaches: true, resizes: true, snapshots: true}
const CONTROLLER = {addon: ID, name: 'aws-ebs-csi-controller', namespace: 'kube-system'}
const NODES = {addon: ID, name: 'aws-ebs-csi-nodes', namespace: 'kube-system'}

const schema = z.strictObject({
  isDefault: z.boolean().default(true).describe('whether claims without a class get a volume of `gp3`'),
  reclaimPolicy: z
    .enum(['Delete', 'Retain'])
    .default('Delete')
    .describe('what becomes of a volume when its claim is deleted'),
})
type Parameters = z.output<typeof schema>

function controller(facts: ClusterFacts): readonly KubeObject[] {
  const {name} = facts.spec
  return driverController(
    {
      part: CONTROLLER,
      driver: DRIVER,
      image: IMAGE,
      abilities: ABILITIES,
      healthPort: NODE_PORTS_OF_ADDONS.ebsController,
      podSecurityContext: asUser(),
      container: {
        args: [
          'controller',
          ENDPOINT,
          // The role of control planes may only touch volumes with this tag, and `terminate` finds them by it.
          `--k8s-tag-cluster-id=${name}`,
          `--extra-tags=clouder.dev/cluster=${name}`,
          '--batching=true',
          '--user-agent-extra=clouder',
          '--v=2',
        ],
        env: [{name: 'AWS_REGION', value: cloudFact(facts, 'region')}, nodeNameAs('CSI_NODE_NAME')],
        securityContext: UNPRIVILEGED,
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
      // Zone, type and id of a machine stand on its Node: the pods need neither the metadata service nor the node's network.
      container: {
        args: ['node', ENDPOINT, '--metadata-sources=kubernetes', '--v=2'],
        env: [nodeNameAs('CSI_NODE_NAME')],
        securityContext: PRIVILEGED,
        preStop: ['/bin/aws-ebs-csi-driver', 'pre-stop-hook'],
      },
      rules: [
        {apiGroups: [''], resources: ['nodes'], verbs: ['get']},
        {apiGroups: ['storage.k8s.io'], resources: ['csinodes'], verbs: ['get']},
        {apiGroups: ['storage.k8s.io'], resources: ['volumeattachments'], verbs: ['get', 'list', 'watch']},
      ],
      mounts: [{name: 'devices', path: '/dev', type: 'Directory'}],
    },
    facts,
  )

function objects({isDefault, reclaimPolicy}: Parameters, facts: ClusterFacts): readonly KubeObject[] {
  const {kmsKeyId} = facts.cloud
  return [
    {
      apiVersion: 'storage.k8s.io/v1',
      kind: 'CSIDriver',
      metadata: {name: DRIVER, labels: {'clouder.dev/addon': ID}},
      spec: {attachRequired: true, podInfoOnMount: false, fsGroupPolicy: 'File'},
    },
    storageClass({
      addon: ID,
      name: CLASS,
      driver: DRIVER,
      isDefault,
      parameters: {
        type: 'gp3',
        encrypted: 'true',
        'csi.storage.k8s.io/fstype': 'ext4',
        ...(kmsKeyId === undefined ? {} : {kmsKeyId}),
      },
      reclaimPolicy,
      // A volume lies in one zone: where the pod goes decides which.
      binding: 'WaitForFirstConsumer',
      expandable: true,
    }),
    snapshotClass({addon: ID, name: SNAPSHOT_CLASS, driver: DRIVER}),
    ...controller(facts),
    ...nodes(facts),
  ]
}

/** Volumes of AWS. */
export const awsEbsCsiAddon = defineAddon({
  id: ID,
  title: 'EBS volumes',
  version: '1.64.0',
  description: 'encrypted gp3 volumes for one node at a time, with snapshots and expansion: StorageClass gp3',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network', 'volume-snapshots'],
  provides: ['default-storage-class'],
  images: [IMAGE, ...new Set([...controllerImages(ABILITIES), ...NODE_IMAGES, 'shell'])],
  parameters: () => schema,
  unavailable: onlyOn('aws'),
  cloudActions: ({provider}) => [
    'ec2:AttachVolume',
    'ec2:CreateSnapshot',
    'ec2:CreateTags',
    'ec2:CreateVolume',
    'ec2:DeleteSnapshot',
    'ec2:DeleteVolume',
    'ec2:DescribeAvailabilityZones',
    'ec2:DescribeInstances',
    'ec2:DescribeSnapshots',
    'ec2:DescribeTags',
    'ec2:DescribeVolumes',
    'ec2:DescribeVolumesModifications',
    'ec2:DescribeVolumeStatus',
    'ec2:DetachVolume',
    'ec2:ModifyVolume',
    ...(provider.aws.kmsKeyId === undefined
      ? []
      : [
          'kms:CreateGrant',
          'kms:Decrypt',
          'kms:DescribeKey',
          'kms:Encrypt',
          'kms:GenerateDataKeyWithoutPlaintext',
          'kms:ReEncryptFrom',
          'kms:ReEncryptTo',
        ]),
  ],
  objects,
  ready: (kube) => withoutDriver(kube, DRIVER),
  usedBy: (kube) => usersOfDriver(kube, DRIVER, [CLASS]),
  smoke: smokeVolumes({
    storageClassName: CLASS,
    accessMode: 'ReadWriteOnce',
    size: '1Gi',
    larger: '2Gi',
    snapshotClass: SNAPSHOT_CLASS,
  }),
})
