import {z} from 'zod'
import type {Addon, ClusterFacts} from '../../src/platform/addons/addon.ts'
import {awsCloudProviderAddon} from '../../src/platform/addons/aws-cloud-provider/addon.ts'
import {awsEbsCsiAddon} from '../../src/platform/addons/aws-ebs-csi/addon.ts'
import {awsEfsCsiAddon} from '../../src/platform/addons/aws-efs-csi/addon.ts'
import {awsLoadBalancerControllerAddon} from '../../src/platform/addons/aws-load-balancer-controller/addon.ts'
import {azureCloudProviderAddon} from '../../src/platform/addons/azure-cloud-provider/addon.ts'
import {azureDiskCsiAddon} from '../../src/platform/addons/azure-disk-csi/addon.ts'
import {azureFileCsiAddon} from '../../src/platform/addons/azure-file-csi/addon.ts'
import type {KubeObject} from '../../src/kubernetes/types.ts'
import {factsOf, faultsOf} from './addon-golden.ts'

export type CloudName = 'aws' | 'azure'

/** Entries that only run in one cloud. */
export const CLOUD_ADDONS: Readonly<Record<CloudName, readonly Addon[]>> = {
  aws: [awsCloudProviderAddon, awsEbsCsiAddon, awsEfsCsiAddon, awsLoadBalancerControllerAddon],
  azure: [azureCloudProviderAddon, azureDiskCsiAddon, azureFileCsiAddon],
}

const SPECS: Readonly<Record<CloudName, string>> = {
  aws: 'provider: {kind: aws, aws: {region: eu-central-1, sharedFiles: true}}, access: {adminCidrs: [203.0.113.0/24]}',
  azure:
    'provider: {kind: azure, azure: {location: westeurope, sharedFiles: true}}, access: {adminCidrs: [203.0.113.0/24]}',
}

/** The output `addons` of a stack, as `stacks/aws.ts` and `stacks/azure/outputs.ts` write it. */
const OUTPUTS: Readonly<Record<CloudName, Readonly<Record<string, string>>>> = {
  aws: {
    region: 'eu-central-1',
    vpcId: 'vpc-1',
    nodeSubnetIds: 'subnet-1,subnet-2',
    publicSubnetIds: 'subnet-3,subnet-4',
    controlPlaneSecurityGroupId: 'sg-cp',
    workerSecurityGroupId: 'sg-worker',
    serviceBalancerSecurityGroupId: 'sg-balancer',
    controlPlaneRoleArn: 'arn:aws:iam::123456789012:role/cp',
    workerRoleArn: 'arn:aws:iam::123456789012:role/worker',
    fileSystemId: 'fs-1',
  },
  azure: {
    subscriptionId: '11111111-2222-3333-4444-555555555555',
    tenantId: '66666666-2222-3333-4444-555555555555',
    location: 'westeurope',
    resourceGroup: 'clouder-demo',
    vnet: 'demo',
    vnetResourceGroup: 'clouder-demo',
    subnet: 'nodes',
    securityGroup: 'demo-worker',
    vmType: 'standard',
    loadBalancerSku: 'standard',
    controlPlaneIdentity: '77777777-2222-3333-4444-555555555555',
    workerIdentity: '88888888-2222-3333-4444-555555555555',
    storageAccount: 'clobjdemo',
    backups: 'clobjdemo/backups',
    filesAccount: 'clfiledemo',
    filesShare: 'shared',
  },
}

export interface CloudCluster {
  /** YAML flow text below `spec:`, besides the provider. */
  readonly spec?: string
  readonly cloud?: Readonly<Record<string, string>>
  readonly parameters?: unknown
}

export function cloudFacts(name: CloudName, {spec = '', cloud = {}}: CloudCluster = {}): ClusterFacts {
  const body = spec === '' ? SPECS[name] : `${SPECS[name]}, ${spec}`
  return {...factsOf(body), cloud: {...OUTPUTS[name], ...cloud}}
}

export const renderedIn = (
  name: CloudName,
  addon: Addon,
  cluster: CloudCluster = {},
): readonly KubeObject[] => addon.objects(cluster.parameters ?? {}, cloudFacts(name, cluster))

/** As `faultsOf`, but the sidecars of a driver have no probe of their own: they end when the driver goes away. */
export const driverFaults = (addon: Addon, objects: readonly KubeObject[]): readonly string[] =>
  faultsOf(addon, objects).filter((fault) => !/: csi-\S+ has no readiness probe$/.test(fault))

const podsSchema = z.looseObject({
  template: z.looseObject({
    spec: z.looseObject({containers: z.array(z.looseObject({args: z.array(z.string()).default([])}))}),
  }),
})

/** Arguments of the first container of the first workload of a kind. */
export function argumentsOf(
  objects: readonly KubeObject[],
  kind: 'Deployment' | 'DaemonSet',
): readonly string[] {
  const found = objects.find((object) => object.kind === kind)
  return podsSchema.parse(found?.['spec']).template.spec.containers[0]?.args ?? []
}
