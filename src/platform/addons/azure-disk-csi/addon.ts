import {z} from 'zod'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {
  AZURE_CONFIGURATION,
  azureConfiguration,
  configurationMap,
  configurationMount,
  configurationVolume,
} from '../azure-configuration.ts'
import {onlyOn, readsOnce} from '../cloud-facts.ts'
import {NODE_PORTS_OF_ADDONS} from '../control-planes.ts'
import {withoutDriver} from '../csi/ready.ts'
import {controllerImages, NODE_IMAGES} from '../csi/sidecars.ts'
import {smokeVolumes} from '../csi/smoke.ts'
import {usersOfDriver} from '../csi/used-by.ts'
import {
  AS_ROOT_WITHOUT_CAPABILITIES,
  driverController,
  driverOnNodes,
  ENDPOINT,
  nodeNameAs,
  PRIVILEGED,
  snapshotClass,
  storageClass,
} from '../csi/workloads.ts'

const ID = 'azure-disk-csi'
const DRIVER = 'disk.csi.azure.com'
const CLASS = 'managed-csi'
const SNAPSHOT_CLASS = 'azure-disk'
const IMAGE = 'azuredisk-csi'
const ABILITIES = {attaches: true, resizes: true, snapshots: true}
const CONTROLLER = {addon: ID, name: 'azure-disk-csi-controller', namespace: 'kube-system'}
const NODES = {addon: ID, name: 'azure-disk-csi-nodes', namespace: 'kube-system'}

const schema = z.strictObject({
  isDefault: z.boolean().default(true).describe('whether claims without a class get a disk of `managed-csi`'),
  sku: z
    .enum(['StandardSSD_LRS', 'StandardSSD_ZRS', 'Premium_LRS', 'Premium_ZRS', 'PremiumV2_LRS'])
    .default('StandardSSD_LRS')
    .describe(
      'kind of disk; those with ZRS are in every zone, PremiumV2_LRS has no snapshots of other kinds',
    ),
  reclaimPolicy: z
    .enum(['Delete', 'Retain'])
    .default('Delete')
    .describe('what becomes of a disk when its claim is deleted'),
})
type Parameters = z.output<typeof schema>

function controller(facts: ClusterFacts): readonly KubeObject[] {
  const configuration = azureConfiguration(facts)
  const {podSecurityContext, securityContext} = AS_ROOT_WITHOUT_CAPABILITIES
  return [
    configurationMap(CONTROLLER, configuration),
    ...driverController(
      {
        part: CONTROLLER,
        driver: DRIVER,
        image: IMAGE,
        abilities: ABILITIES,
        healthPort: NODE_PORTS_OF_ADDONS.azureDiskController,
        podSecurityContext,
        annotations: readsOnce(configuration),
        container: {
          args: [
            ENDPOINT,
            '--cloud-config-secret-name=',
            '--allow-empty-cloud-config=false',
            '--remove-not-ready-taint=false',
            '--v=2',
          ],
          env: [{name: 'AZURE_CREDENTIAL_FILE', value: AZURE_CONFIGURATION}],
          securityContext,
          volumeMounts: [configurationMount],
        },
        volumes: [configurationVolume(CONTROLLER)],
      },
      facts,
    ),
  ]
}

const nodes = (facts: ClusterFacts): readonly KubeObject[] =>
  driverOnNodes(
    {
      part: NODES,
      driver: DRIVER,
      image: IMAGE,
      container: {
        // Zone and type of a machine stand on its Node: the pods need no configuration, identity or metadata service.
        args: [
          ENDPOINT,
          '--nodeid=$(NODE_NAME)',
          '--get-node-info-from-labels=true',
          '--enable-perf-optimization=true',
          '--allow-empty-cloud-config=true',
          '--cloud-config-secret-name=',
          '--remove-not-ready-taint=false',
          '--v=2',
        ],
        env: [nodeNameAs('NODE_NAME'), {name: 'AZURE_CREDENTIAL_FILE', value: AZURE_CONFIGURATION}],
        securityContext: PRIVILEGED,
        preStop: ['/azurediskplugin', '--pre-stop-hook=true'],
      },
      rules: [
        {apiGroups: [''], resources: ['nodes'], verbs: ['get']},
        {apiGroups: ['storage.k8s.io'], resources: ['volumeattachments'], verbs: ['get', 'list', 'watch']},
      ],
      mounts: [
        {name: 'devices', path: '/dev', type: 'Directory'},
        {name: 'scsi', path: '/sys/bus/scsi/devices', type: 'Directory'},
        {name: 'classes', path: '/sys/class', type: 'Directory'},
      ],
    },
    facts,
  )

function objects(parameters: Parameters, facts: ClusterFacts): readonly KubeObject[] {
  const {isDefault, sku, reclaimPolicy} = parameters
  const {diskEncryptionSet} = facts.cloud
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
        skuName: sku,
        'csi.storage.k8s.io/fstype': 'ext4',
        ...(diskEncryptionSet === undefined ? {} : {diskEncryptionSetID: diskEncryptionSet}),
      },
      reclaimPolicy,
      binding: 'WaitForFirstConsumer',
      expandable: true,
    }),
    // Incremental snapshots are paid by what has changed since the one before.
    snapshotClass({addon: ID, name: SNAPSHOT_CLASS, driver: DRIVER, parameters: {incremental: 'true'}}),
    ...controller(facts),
    ...nodes(facts),
  ]
}

/** Disks of Azure. */
export const azureDiskCsiAddon = defineAddon({
  id: ID,
  title: 'Azure disks',
  version: '1.34.5',
  description: 'managed disks for one node at a time, with snapshots and expansion: StorageClass managed-csi',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network', 'volume-snapshots'],
  provides: ['default-storage-class'],
  images: [IMAGE, ...new Set([...controllerImages(ABILITIES), ...NODE_IMAGES, 'shell'])],
  parameters: () => schema,
  unavailable: onlyOn('azure'),
  cloudActions: () => [
    ...[
      'disks/read',
      'disks/write',
      'disks/delete',
      'snapshots/read',
      'snapshots/write',
      'snapshots/delete',
      'virtualMachines/read',
      'virtualMachines/write',
    ].map((action) => `Microsoft.Compute/${action}`),
    'Microsoft.ManagedIdentity/userAssignedIdentities/assign/action',
    'Microsoft.Network/networkInterfaces/join/action',
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
