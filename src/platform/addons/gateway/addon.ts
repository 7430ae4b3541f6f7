import {z} from 'zod'
import type {KubeReader} from '../../../kubernetes/types.ts'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import type {NotReady} from '../../release/types.ts'
import {defineAddon} from '../addon.ts'
import {workersOf} from '../pods.ts'
import {ADDON, CLASS, GATEWAY, GATEWAY_API, gatewayObjects, NAMESPACE} from './objects.ts'
import {smokeGateway} from './smoke.ts'

const HOSTNAME = /^(\*\.)?([a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?\.)+[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/

const hasBalancer = ({provider, addons}: ClusterSpec): boolean =>
  provider.kind === 'aws' || provider.kind === 'azure' || addons.install.includes('metallb')

const hasCertificates = ({addons}: ClusterSpec): boolean =>
  addons.install.includes('cert-manager') ||
  (addons.profile === 'full' && !addons.without.includes('cert-manager'))

/** The way into the cluster: Gateway API and Ingress. */
export const gatewayAddon = defineAddon({
  id: ADDON,
  title: 'Gateway and Ingress',
  version: '3.6.12',
  description:
    'HTTP and HTTPS from outside, by the Gateway API and by Ingress: Traefik, with a Gateway for all namespaces',
  profile: 'full',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['gateway'],
  images: ['traefik'],
  manifests: ['gateway-api-crds'],
  parameters: (spec) =>
    z
      .strictObject({
        service: z
          .enum(['LoadBalancer', 'NodePort'])
          .default(hasBalancer(spec) ? 'LoadBalancer' : 'NodePort')
          .describe(
            'how clients reach it; `NodePort`: ports 30080 and 30443 of every node. Default: LoadBalancer in a cloud and with metallb, else NodePort',
          ),
        serviceAnnotations: z
          .record(z.string(), z.string())
          .default({})
          .describe('annotations of its Service, such as those that a load balancer of a cloud reads'),
        hostname: z
          .string()
          .regex(HOSTNAME, {error: 'expected a DNS name, or *. and a DNS name'})
          .optional()
          .describe(
            'name that the Gateway serves HTTPS for, such as `*.apps.example.com`; absent: HTTP only',
          ),
        issuer: z
          .string()
          .optional()
          .describe('ClusterIssuer of its certificate; default: cluster-ca where cert-manager is selected'),
        defaultIngressClass: z
          .boolean()
          .default(true)
          .describe('whether Ingresses that name no class are served'),
        replicas: z
          .int()
          .min(1)
          .max(10)
          .default(workersOf(spec) >= 3 ? 2 : 1)
          .describe('default: 2 with three workers or more, else 1'),
      })
      .transform((parameters) => ({
        ...parameters,
        issuer: parameters.issuer ?? (hasCertificates(spec) ? 'cluster-ca' : undefined),
      }))
      .refine(({hostname, issuer}) => hostname === undefined || issuer !== undefined, {
        error: 'needs the addon cert-manager, which issues the certificate for it',
        path: ['hostname'],
      }),
  objects: (parameters, facts) =>
    gatewayObjects({
      ...parameters,
      image: facts.image('traefik'),
      definitions: facts.manifests('gateway-api-crds'),
    }),
  ready: notProgrammed,
  usedBy: usesOf,
  smoke: {proves: 'a server answers through an HTTPRoute and through an Ingress', run: smokeGateway},
})

const statusSchema = z.looseObject({
  conditions: z
    .array(z.looseObject({type: z.string(), status: z.string(), message: z.string().optional()}))
    .default([]),
})

/** The Gateway is not ready by the conditions that workloads have: its own say whether Traefik serves it. */
async function notProgrammed(kube: KubeReader): Promise<readonly NotReady[]> {
  const ref = {apiVersion: GATEWAY_API, kind: 'Gateway', namespace: NAMESPACE, name: GATEWAY}
  const {conditions} = statusSchema.parse((await kube.get(ref))?.['status'] ?? {})
  const programmed = conditions.find(({type}) => type === 'Programmed')
  if (programmed?.status === 'True') return []
  return [{ref, problem: programmed?.message ?? 'Traefik has not accepted it yet', isStuck: false}]
}

const ingressSchema = z.looseObject({ingressClassName: z.string().optional()})
const gatewaySchema = z.looseObject({gatewayClassName: z.string()})

/** Ingresses of its class, or of none, and Gateways of its class that are not its own. */
async function usesOf(kube: KubeReader): Promise<readonly string[]> {
  const [ingresses, gateways] = await Promise.all([
    kube.list({apiVersion: 'networking.k8s.io/v1', kind: 'Ingress'}),
    kube.list({apiVersion: GATEWAY_API, kind: 'Gateway'}),
  ])
  const mine = [
    ...ingresses.filter(
      (ingress) => (ingressSchema.parse(ingress['spec'] ?? {}).ingressClassName ?? CLASS) === CLASS,
    ),
    ...gateways.filter(
      (gateway) =>
        gatewaySchema.parse(gateway['spec']).gatewayClassName === CLASS &&
        gateway.metadata.labels?.['clouder.dev/addon'] !== ADDON,
    ),
  ]
  const routes = await kube.list({apiVersion: GATEWAY_API, kind: 'HTTPRoute'})
  return [...mine, ...routes].map(
    ({kind, metadata}) => `${kind} ${metadata.namespace ?? ''}/${metadata.name} is served by it`,
  )
}
