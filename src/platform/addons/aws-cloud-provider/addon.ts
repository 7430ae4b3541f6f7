import {z} from 'zod'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {cloudFact, onlyOn, readsOnce} from '../cloud-facts.ts'
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

const ID = 'aws-cloud-provider'
export const PART = {addon: ID, name: ID, namespace: 'kube-system'}
const LEASE = 'cloud-controller-manager'

const schema = z.strictObject({
  loadBalancers: z
    .boolean()
    .default(false)
    .describe(
      'whether it creates load balancers for Services; its permissions have to be added to the role of the control planes',
    ),
})
type Parameters = z.output<typeof schema>

/** The settings of the program, so that it asks no metadata service and no machine for them. */
export function cloudConfiguration(facts: ClusterFacts): string {
  const [subnet = ''] = cloudFact(facts, 'nodeSubnetIds').split(',')
  return [
    '[Global]',
    `Region = ${cloudFact(facts, 'region')}`,
    `VPC = ${cloudFact(facts, 'vpcId')}`,
    `SubnetID = ${subnet}`,
    `KubernetesClusterID = ${facts.spec.name}`,
    // Node ports admit this group alone, so that there is no rule to add for every Service.
    `ElbSecurityGroup = ${cloudFact(facts, 'serviceBalancerSecurityGroupId')}`,
    'DisableSecurityGroupIngress = true',
    '',
  ].join('\n')
}

/** Flags of the program; `configuration`: where its settings lie. */
export const flagsOf = (
  {loadBalancers}: Parameters,
  {spec}: ClusterFacts,
  configuration: string,
): readonly string[] => [
  '--cloud-provider=aws',
  `--cloud-config=${configuration}`,
  `--cluster-name=${spec.name}`,
  `--controllers=${['cloud-node-controller', 'cloud-node-lifecycle-controller', ...(loadBalancers ? ['service-lb-controller'] : [])].join(',')}`,
  '--configure-cloud-routes=false',
  // Kubelets write the addresses of their nodes themselves, and would take back at once what this one writes.
  '--node-status-update-frequency=24h',
  `--leader-elect-resource-name=${LEASE}`,
  '--bind-address=127.0.0.1',
  `--secure-port=${NODE_PORTS_OF_ADDONS.awsCloudProvider}`,
  '--v=2',
]

const rules = ({loadBalancers}: Parameters): readonly Rule[] => [
  // A node whose machine is gone is deleted; one that is stopped gets a taint.
  {
    apiGroups: [''],
    resources: ['nodes'],
    verbs: ['get', 'list', 'watch', 'update', 'patch', 'delete'],
  },
  {apiGroups: [''], resources: ['nodes/status'], verbs: ['patch']},
  {apiGroups: [''], resources: ['events'], verbs: ['create', 'patch', 'update']},
  // Its own port asks the API server who calls.
  {apiGroups: ['authentication.k8s.io'], resources: ['tokenreviews'], verbs: ['create']},
  {apiGroups: ['authorization.k8s.io'], resources: ['subjectaccessreviews'], verbs: ['create']},
  ...(loadBalancers
    ? [
        {
          apiGroups: [''],
          resources: ['services'],
          verbs: ['get', 'list', 'watch', 'update', 'patch'],
        },
        {apiGroups: [''], resources: ['services/status'], verbs: ['update', 'patch']},
      ]
    : []),
]

function objects(parameters: Parameters, facts: ClusterFacts): readonly KubeObject[] {
  const configuration = cloudConfiguration(facts)
  const image = facts.image(ID)
  const probe = onLoopback(NODE_PORTS_OF_ADDONS.awsCloudProvider, '/healthz', 'HTTPS')
  return [
    serviceAccount(PART),
    ...clusterRole(PART, rules(parameters)),
    ...role(PART, leasesNamed([LEASE])),
    readsAuthentication(PART),
    {
      apiVersion: 'v1',
      kind: 'ConfigMap',
      metadata: metadataOf(PART),
      data: {'cloud.conf': configuration},
    },
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
                args: flagsOf(parameters, facts, '/etc/aws/cloud.conf'),
                resources: {requests: {cpu: '20m', memory: '48Mi'}},
                securityContext: UNPRIVILEGED,
                livenessProbe: {...probe, initialDelaySeconds: 20, timeoutSeconds: 10},
                readinessProbe: {...probe, timeoutSeconds: 10},
                volumeMounts: [{name: 'configuration', mountPath: '/etc/aws', readOnly: true}],
              },
            ],
            volumes: [{name: 'configuration', configMap: {name: PART.name}}],
          },
        },
      },
    },
  ]
}

/** Knows which machines of AWS there are. */
export const awsCloudProviderAddon = defineAddon({
  id: ID,
  title: 'AWS cloud provider',
  version: '1.35.3',
  description: 'removes nodes whose machine is gone, and initialises nodes that wait for a cloud provider',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network'],
  provides: [],
  images: [ID],
  parameters: () => schema,
  unavailable: onlyOn('aws'),
  cloudActions: () => [
    'ec2:DescribeAvailabilityZones',
    'ec2:DescribeInstances',
    'ec2:DescribeInstanceTopology',
  ],
  objects,
})
