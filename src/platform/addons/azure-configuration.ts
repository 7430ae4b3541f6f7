import type {KubeObject} from '../../kubernetes/types.ts'
import type {ClusterFacts} from './addon.ts'
import {cloudFact} from './cloud-facts.ts'
import {metadataOf, type Part} from './pods.ts'

export const AZURE_CONFIGURATION = '/etc/azure/cloud.json'

/** What programs of Azure ask for; they act as the identity of control planes, so that no secret is in it. */
export function azureConfiguration(facts: ClusterFacts): string {
  const fact = (name: string): string => cloudFact(facts, name)
  const resourceGroup = fact('resourceGroup')
  return JSON.stringify(
    {
      cloud: 'AzurePublicCloud',
      tenantId: fact('tenantId'),
      subscriptionId: fact('subscriptionId'),
      resourceGroup,
      location: fact('location'),
      useManagedIdentityExtension: true,
      userAssignedIdentityID: fact('controlPlaneIdentity'),
      vmType: fact('vmType'),
      vnetName: fact('vnet'),
      vnetResourceGroup: fact('vnetResourceGroup'),
      subnetName: fact('subnet'),
      securityGroupName: fact('securityGroup'),
      securityGroupResourceGroup: resourceGroup,
      loadBalancerSku: fact('loadBalancerSku'),
      excludeMasterFromStandardLB: true,
      // Probes go to the node port of a Service, which firewalls let in; the other kind goes to kube-proxy.
      clusterServiceLoadBalancerHealthProbeMode: 'servicenodeport',
      cloudProviderBackoff: true,
    },
    undefined,
    2,
  )
}

export const configurationMap = (part: Part, configuration: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: metadataOf(part),
  data: {'cloud.json': configuration},
})

export const configurationMount = {name: 'configuration', mountPath: '/etc/azure', readOnly: true}
export const configurationVolume = (part: Part) => ({name: 'configuration', configMap: {name: part.name}})
