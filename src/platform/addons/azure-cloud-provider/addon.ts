import {z} from 'zod'
import type {KubeObject, KubeReader} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {
  AZURE_CONFIGURATION,
  azureConfiguration,
  configurationMap,
  configurationMount,
  configurationVolume,
} from '../azure-configuration.ts'
import {onlyOn, readsOnce} from '../cloud-facts.ts'
import {
  NODE_PORTS_OF_ADDONS,
  ON_CONTROL_PLANE_HOSTS,
  onLoopback,
  readsAuthentication,
} from '../control-planes.ts'
import {leasesNamed} from '../csi/access.ts'
import {
  asUser,
  clusterRole,
  metadataOf,
  podMetadataOf,
  role,
  type Rule,
  selectorOf,
  serviceAccount,
  UNPRIVILEGED,
} from '../pods.ts'

const ID = 'azure-cloud-provider'
const PART = {addon: ID, name: ID, namespace: 'kube-system'}
const LEASE = 'cloud-controller-manager'
const READ = ['get', 'list', 'watch']

const RULES: readonly Rule[] = [
  // A node whose machine is gone is deleted; one that is stopped gets a taint.
  {apiGroups: [''], resources: ['nodes'], verbs: [...READ, 'update', 'patch', 'delete']},
  {apiGroups: [''], resources: ['nodes/status'], verbs: ['patch']},
  {apiGroups: [''], resources: ['services'], verbs: [...READ, 'update', 'patch']},
  {apiGroups: [''], resources: ['services/status'], verbs: ['update', 'patch']},
  {apiGroups: ['discovery.k8s.io'], resources: ['endpointslices'], verbs: READ},
  {apiGroups: [''], resources: ['events'], verbs: ['create', 'patch', 'update']},
  {apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create']},
  {apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create']},
]

function objects(_: unknown, facts: ClusterFacts): readonly KubeObject[] {
  const configuration = azureConfiguration(facts)
  const image = facts.image('azure-cloud-controller-manager')
  const probe = onLoopback(NODE_PORTS_OF_ADDONS.azureCloudProvider, '/healthz', 'HTTPS')
  return [
    serviceAccount(PART),
    ...clusterRole(PART, RULES),
    ...role(PART, leasesNamed([LEASE])),
    readsAuthentication(PART),
    configurationMap(PART, configuration),
    {
      apiVersion: 'apps/v1',
      kind: 'DaemonSet',
      metadata: metadataOf(PART),
      spec: {
        selector: {matchLabels: selectorOf(PART)},
        template: {
          metadata: podMetadataOf(PART, image, readsOnce(configuration)),
          spec: {
            ...ON_CONTROL_PLANE_HOSTS,
            automountServiceAccountToken: true,
            serviceAccountName: PART.name,
            securityContext: asUser(),
            containers: [
              {
                name: ID,
                image: image.reference,
                imagePullPolicy: 'IfNotPresent',
                command: ['cloud-controller-manager'],
                args: [
                  '--cloud-provider=azure',
                  `--cloud-config=${AZURE_CONFIGURATION}`,
                  `--cluster-name=${facts.spec.name}`,
                  // Nodes bring their machine's id and zone themselves: nothing waits to be initialised.
                  '--controllers=cloud-node-lifecycle-controller,service-lb-controller',
                  '--allocate-node-cidrs=false',
                  '--configure-cloud-routes=false',
                  `--leader-elect-resource-name=${LEASE}`,
                  '--bind-address=127.0.0.1',
                  `--secure-port=${NODE_PORTS_OF_ADDONS.azureCloudProvider}`,
                  '--v=2',
                ],
                resources: {requests: {cpu: '20m', memory: '64Mi'}},
                securityContext: UNPRIVILEGED,
                livenessProbe: {...probe, initialDelaySeconds: 20, timeoutSeconds: 10},
                readinessProbe: {...probe, timeoutSeconds: 10},
                volumeMounts: [configurationMount],
              },
            ],
            volumes: [configurationVolume(PART)],
          },
        },
      },
    },
  ]
}

const serviceSchema = z.looseObject({type: z.string().optional(), loadBalancerClass: z.string().optional()})

async function usedBy(kube: KubeReader): Promise<readonly string[]> {
  const services = await kube.list({apiVersion: 'v1', kind: 'Service'})
  return services.flatMap(({metadata, spec}) => {
    const {type, loadBalancerClass} = serviceSchema.parse(spec ?? {})
    return type === 'LoadBalancer' && loadBalancerClass === undefined
      ? [`Service ${metadata.namespace ?? ''}/${metadata.name} has a load balancer of it`]
      : []
  })
}

/** Load balancers of Azure, and which machines of it there are. */
export const azureCloudProviderAddon = defineAddon({
  id: ID,
  title: 'Azure cloud provider',
  version: '1.35.8',
  description: 'load balancers for Services of type LoadBalancer; removes nodes whose machine is gone',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['load-balancer'],
  images: ['azure-cloud-controller-manager'],
  parameters: () => z.strictObject({}),
  unavailable: onlyOn('azure'),
  cloudActions: () => [
    ...[
      'virtualMachines/read',
      'virtualMachines/instanceView/read',
      'availabilitySets/read',
      'virtualMachineScaleSets/read',
    ].map((action) => `Microsoft.Compute/${action}`),
    ...[
      'loadBalancers/read',
      'loadBalancers/write',
      'loadBalancers/delete',
      'loadBalancers/backendAddressPools/read',
      'loadBalancers/backendAddressPools/join/action',
      'networkInterfaces/read',
      'networkInterfaces/write',
      'networkSecurityGroups/read',
      'networkSecurityGroups/write',
      'networkSecurityGroups/join/action',
      'publicIPAddresses/read',
      'publicIPAddresses/write',
      'publicIPAddresses/delete',
      'publicIPAddresses/join/action',
      'virtualNetworks/subnets/read',
      'virtualNetworks/subnets/join/action',
    ].map((action) => `Microsoft.Network/${action}`),
  ],
  objects,
  usedBy,
})
