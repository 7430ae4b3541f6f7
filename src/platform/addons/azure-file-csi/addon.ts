import {z} from 'zod'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {
  AZURE_CONFIGURATION,
  azureConfiguration,
  configurationMap,
  configurationMount,
  configurationVolume,
} from '../azure-configuration.ts'
import {cloudFact, onlyOn, readsOnce} from '../cloud-facts.ts'
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
  storageClass,
} from '../csi/workloads.ts'

const ID = 'azure-file-csi'
const DRIVER = 'file.csi.azure.com'
const CLASS = 'azurefile-nfs'
const IMAGE = 'azurefile-csi'
const ABILITIES = {attaches: false, resizes: true, snapshots: false}
const CONTROLLER = {addon: ID, name: 'azure-file-csi-controller', namespace: 'kube-system'}
const NODES = {addon: ID, name: 'azure-file-csi-nodes', namespace: 'kube-system'}

const schema = z.strictObject({
  reclaimPolicy: z
    .enum(['Delete', 'Retain'])
    .default('Delete')
    .describe('what becomes of the share of a claim that is deleted'),
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
        healthPort: NODE_PORTS_OF_ADDONS.azureFileController,
        podSecurityContext,
        annotations: readsOnce(configuration),
        container: {
          args: [ENDPOINT, '--cloud-config-secret-name=', '--allow-empty-cloud-config=false', '--v=2'],
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
      hostHealthPort: NODE_PORTS_OF_ADDONS.azureFileNode,
      container: {
        // An NFS mount needs no credential: the account lets in the subnet of the nodes.
        args: [
          ENDPOINT,
          '--nodeid=$(NODE_NAME)',
          '--allow-empty-cloud-config=true',
          '--cloud-config-secret-name=',
          '--v=2',
        ],
        env: [nodeNameAs('NODE_NAME'), {name: 'AZURE_CREDENTIAL_FILE', value: AZURE_CONFIGURATION}],
        securityContext: {privileged: true},
      },
      rules: [],
      mounts: [],
    },
    facts,
  )

const objects = ({reclaimPolicy}: Parameters, facts: ClusterFacts): readonly KubeObject[] => [
  {
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSIDriver',
    metadata: {name: DRIVER, labels: {'clouder.dev/addon': ID}},
    spec: {
      attachRequired: false,
      podInfoOnMount: true,
      volumeLifecycleModes: ['Persistent'],
      fsGroupPolicy: 'ReadWriteOnceWithFSType',
    },
  },
  storageClass({
    addon: ID,
    name: CLASS,
    driver: DRIVER,
    isDefault: false,
    parameters: {
      protocol: 'nfs',
      skuName: 'Premium_LRS',
      // Named, so that the driver makes no account and changes no subnet: the identity may do neither.
      resourceGroup: cloudFact(facts, 'resourceGroup'),
      storageAccount: cloudFact(facts, 'filesAccount'),
      vnetResourceGroup: cloudFact(facts, 'vnetResourceGroup'),
      vnetName: cloudFact(facts, 'vnet'),
      subnetName: cloudFact(facts, 'subnet'),
    },
    reclaimPolicy,
    binding: 'Immediate',
    expandable: true,
    mountOptions: ['nconnect=4', 'noresvport', 'actimeo=30'],
  }),
  ...controller(facts),
  ...nodes(facts),
]

const unavailable = (spec: ClusterSpec): string | undefined =>
  onlyOn('azure')(spec) ??
  (spec.provider.azure.sharedFiles
    ? undefined
    : 'the cluster has no account for shares; set spec.provider.azure.sharedFiles: true')

/** Shares that many nodes mount. */
export const azureFileCsiAddon = defineAddon({
  id: ID,
  title: 'Azure file shares',
  version: '1.35.7',
  description: 'NFS shares that many nodes write at once, one for every claim: StorageClass azurefile-nfs',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['shared-volumes'],
  images: [IMAGE, ...new Set([...controllerImages(ABILITIES), ...NODE_IMAGES, 'shell'])],
  parameters: () => schema,
  unavailable,
  cloudActions: () => [
    'Microsoft.Network/virtualNetworks/subnets/read',
    ...['read', 'fileServices/read', 'fileServices/shares/read', 'fileServices/shares/write'].map(
      (action) => `Microsoft.Storage/storageAccounts/${action}`,
    ),
    'Microsoft.Storage/storageAccounts/fileServices/shares/delete',
  ],
  objects,
  ready: (kube) => withoutDriver(kube, DRIVER),
  usedBy: (kube) => usersOfDriver(kube, DRIVER, [CLASS]),
  smoke: smokeVolumes({storageClassName: CLASS, accessMode: 'ReadWriteMany', size: '100Gi', larger: '101Gi'}),
})
