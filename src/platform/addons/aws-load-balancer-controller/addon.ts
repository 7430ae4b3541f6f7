import {z} from 'zod'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {defineAddon, type ClusterFacts} from '../addon.ts'
import {cloudFact, onlyOn} from '../cloud-facts.ts'
import {NODE_PORTS_OF_ADDONS, ON_CONTROL_PLANE_HOSTS, onLoopback} from '../control-planes.ts'
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
import {CLOUD_ACTIONS} from './actions.ts'
import {loadBalancerDefinitions} from './definitions.ts'
import {balanced, INGRESS_CLASS, untrustedWebhooks} from './state.ts'
import {SERVING_SECRET, webhooks} from './webhooks.ts'

const ID = 'aws-load-balancer-controller'
const PART = {addon: ID, name: ID, namespace: 'kube-system'}
const {loadBalancerHealth, loadBalancerMetrics, loadBalancerWebhook} = NODE_PORTS_OF_ADDONS
const CERTIFICATES = '/etc/webhook'
const READ = ['get', 'list', 'watch']

const schema = z.strictObject({
  scheme: z
    .enum(['internal', 'internet-facing'])
    .default('internal')
    .describe('where load balancers are reached from; an annotation of an object overrides it'),
})
type Parameters = z.output<typeof schema>

const group = (apiGroup: string, resources: readonly string[], verbs: readonly string[]): Rule => ({
  apiGroups: [apiGroup],
  resources,
  verbs,
})

const RULES: readonly Rule[] = [
  group('', ['nodes', 'namespaces', 'pods', 'endpoints'], READ),
  group('', ['services'], [...READ, 'update', 'patch']),
  group('', ['services/status', 'pods/status'], ['update', 'patch']),
  group('', ['events'], ['create', 'patch']),
  group('discovery.k8s.io', ['endpointslices'], READ),
  group('networking.k8s.io', ['ingressclasses'], READ),
  group('networking.k8s.io', ['ingresses'], [...READ, 'update', 'patch']),
  group('networking.k8s.io', ['ingresses/status'], ['update', 'patch']),
  group('elbv2.k8s.aws', ['ingressclassparams'], READ),
  group('elbv2.k8s.aws', ['targetgroupbindings'], [...READ, 'create', 'update', 'patch', 'delete']),
  group('elbv2.k8s.aws', ['targetgroupbindings/status'], ['update', 'patch']),
]

const flagsOf = ({scheme}: Parameters, facts: ClusterFacts): readonly string[] => [
  `--cluster-name=${facts.spec.name}`,
  `--aws-region=${cloudFact(facts, 'region')}`,
  `--aws-vpc-id=${cloudFact(facts, 'vpcId')}`,
  // Node ports admit this group alone.
  `--backend-security-group=${cloudFact(facts, 'serviceBalancerSecurityGroupId')}`,
  `--default-load-balancer-scheme=${scheme}`,
  // The role of control planes has no permission for these.
  '--enable-waf=false',
  '--enable-wafv2=false',
  '--enable-shield=false',
  // The cloud does not know the addresses of pods; Gateways are served by another addon.
  '--feature-gates=EnableIPTargetType=false,ALBGatewayAPI=false,NLBGatewayAPI=false',
  '--enable-pod-readiness-gate-inject=false',
  `--webhook-bind-port=${loadBalancerWebhook}`,
  `--webhook-cert-dir=${CERTIFICATES}`,
  `--metrics-bind-addr=127.0.0.1:${loadBalancerMetrics}`,
  `--health-probe-bind-addr=127.0.0.1:${loadBalancerHealth}`,
]

/** One on every control plane, so that each API server finds its webhooks on itself; one of them leads. */
function controller(parameters: Parameters, facts: ClusterFacts): KubeObject {
  const image = facts.image(ID)
  return {
    apiVersion: 'apps/v1',
    kind: 'DaemonSet',
    metadata: metadataOf(PART),
    spec: {
      selector: {matchLabels: selectorOf(PART)},
      template: {
        metadata: podMetadataOf(PART, image),
        spec: {
          ...ON_CONTROL_PLANE_HOSTS,
          automountServiceAccountToken: true,
          serviceAccountName: PART.name,
          securityContext: asUser(),
          containers: [
            {
              name: 'controller',
              image: image.reference,
              imagePullPolicy: 'IfNotPresent',
              args: flagsOf(parameters, facts),
              resources: {requests: {cpu: '20m', memory: '64Mi'}},
              securityContext: UNPRIVILEGED,
              livenessProbe: {...onLoopback(loadBalancerHealth), initialDelaySeconds: 30, timeoutSeconds: 10},
              readinessProbe: {...onLoopback(loadBalancerHealth, '/readyz'), timeoutSeconds: 10},
              volumeMounts: [{name: 'certificates', mountPath: CERTIFICATES, readOnly: true}],
            },
          ],
          volumes: [{name: 'certificates', secret: {secretName: SERVING_SECRET}}],
        },
      },
    },
  }
}

/** Load balancers of AWS. */
export const awsLoadBalancerControllerAddon = defineAddon({
  id: ID,
  title: 'AWS load balancers',
  version: '3.5.0',
  description:
    'network load balancers for Services of type LoadBalancer, application load balancers for Ingresses',
  profile: 'standard',
  stage: 'platform',
  needs: ['pod-network', 'certificates'],
  provides: ['load-balancer'],
  images: [ID],
  parameters: () => schema,
  unavailable: onlyOn('aws'),
  cloudActions: () => CLOUD_ACTIONS,
  objects: (parameters, facts) => [
    ...loadBalancerDefinitions(ID),
    serviceAccount(PART),
    ...clusterRole(PART, RULES),
    ...role(PART, leasesNamed(['aws-load-balancer-controller-leader'])),
    ...webhooks(PART, loadBalancerWebhook),
    {
      apiVersion: 'networking.k8s.io/v1',
      kind: 'IngressClass',
      metadata: {name: INGRESS_CLASS, labels: {'clouder.dev/addon': ID}},
      spec: {controller: 'ingress.k8s.aws/alb'},
    },
    controller(parameters, facts),
  ],
  ready: (kube) => untrustedWebhooks(kube, PART.name),
  usedBy: balanced,
})
