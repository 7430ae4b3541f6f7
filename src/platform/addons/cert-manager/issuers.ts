import {z} from 'zod'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {labelsOf} from '../pods.ts'
import {CLUSTER_CA, CONTROLLER, NAMESPACE, SELF_SIGNED} from './names.ts'

const DNS_LABEL = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/
const name = z.string().regex(DNS_LABEL, {error: 'expected a DNS label'})
const secretKey = z
  .strictObject({
    name: name.describe('name of the Secret'),
    key: z.string().min(1).describe('key in the Secret'),
  })
  .describe(`a Secret in the namespace ${NAMESPACE}`)

const solverSchema = z
  .strictObject({
    dnsZones: z.array(z.string()).default([]).describe('zones that it is used for; empty: all'),
    http01: z
      .strictObject({
        gateway: z
          .strictObject({name: name, namespace: name})
          .optional()
          .describe('Gateway with an HTTP listener that answers the challenge'),
        ingressClassName: z.string().optional().describe('class of the Ingress that answers the challenge'),
      })
      .refine((http01) => (http01.gateway === undefined) !== (http01.ingressClassName === undefined), {
        error: 'expected one of gateway and ingressClassName',
      })
      .optional()
      .describe('proof over HTTP on port 80'),
    dns01: z
      .strictObject({
        route53: z
          .strictObject({
            region: z.string().min(1),
            hostedZoneID: z.string().optional(),
            role: z.string().optional().describe('ARN of a role to assume'),
          })
          .optional()
          .describe('Amazon Route 53, with the credentials of the node or of the service account'),
        azureDNS: z
          .strictObject({
            subscriptionID: z.string().min(1),
            resourceGroupName: z.string().min(1),
            hostedZoneName: z.string().min(1),
            managedIdentity: z.strictObject({clientID: z.string().min(1)}).optional(),
          })
          .optional()
          .describe('Azure DNS, with a managed identity'),
        cloudflare: z.strictObject({apiTokenSecretRef: secretKey}).optional(),
        rfc2136: z
          .strictObject({
            nameserver: z.string().min(1).describe('`host:port`'),
            tsigKeyName: z.string().optional(),
            tsigAlgorithm: z.enum(['HMACSHA256', 'HMACSHA512']).optional(),
            tsigSecretSecretRef: secretKey.optional(),
          })
          .optional()
          .describe('dynamic updates of any name server'),
      })
      .refine((dns01) => Object.values(dns01).filter((value) => value !== undefined).length === 1, {
        error: 'expected one of route53, azureDNS, cloudflare and rfc2136',
      })
      .optional()
      .describe('proof by a DNS record; required for wildcard names'),
  })
  .refine(({http01, dns01}) => (http01 === undefined) !== (dns01 === undefined), {
    error: 'expected one of http01 and dns01',
  })

export const issuerSchema = z
  .strictObject({
    name: name.describe('name of the ClusterIssuer'),
    ca: z
      .strictObject({secretName: name})
      .optional()
      .describe(`signs with the key and certificate of a Secret in the namespace ${NAMESPACE}`),
    acme: z
      .strictObject({
        email: z.email().describe('where the authority sends warnings'),
        server: z
          .url({protocol: /^https$/})
          .default('https://acme-v02.api.letsencrypt.org/directory')
          .describe('directory of the authority'),
        solvers: z.array(solverSchema).min(1).describe('how control of a name is proven'),
      })
      .optional()
      .describe("an authority that speaks ACME, such as Let's Encrypt"),
  })
  .refine(({ca, acme}) => (ca === undefined) !== (acme === undefined), {
    error: 'expected one of ca and acme',
  })
  .refine((issuer) => ![SELF_SIGNED, CLUSTER_CA].includes(issuer.name), {
    error: `${SELF_SIGNED} and ${CLUSTER_CA} are always there`,
    path: ['name'],
  })

export interface IssuerOptions {
  readonly issuers: readonly z.output<typeof issuerSchema>[]
}

const issuer = (called: string, spec: object): KubeObject => ({
  apiVersion: 'cert-manager.io/v1',
  kind: 'ClusterIssuer',
  metadata: {name: called, labels: labelsOf(CONTROLLER)},
  spec,
})

/** The authority of the cluster, and the issuers of the parameters. */
export const issuerObjects = ({issuers}: IssuerOptions): readonly KubeObject[] => [
  issuer(SELF_SIGNED, {selfSigned: {}}),
  {
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: {name: CLUSTER_CA, namespace: NAMESPACE, labels: labelsOf(CONTROLLER)},
    spec: {
      isCA: true,
      commonName: CLUSTER_CA,
      secretName: CLUSTER_CA,
      duration: '87600h',
      renewBefore: '17520h',
      // Whoever trusts it trusts it by its key.
      privateKey: {algorithm: 'ECDSA', size: 256, rotationPolicy: 'Never'},
      issuerRef: {name: SELF_SIGNED, kind: 'ClusterIssuer', group: 'cert-manager.io'},
    },
  },
  issuer(CLUSTER_CA, {ca: {secretName: CLUSTER_CA}}),
  ...issuers.map(({name: called, ca, acme}) =>
    issuer(called, ca === undefined ? {acme: acmeSpec(called, acme)} : {ca}),
  ),
]

function acmeSpec(called: string, acme: z.output<typeof issuerSchema>['acme']): object {
  const {email, server, solvers = []} = acme ?? {}
  return {
    email,
    server,
    privateKeySecretRef: {name: `${called}-account`},
    solvers: solvers.map(({dnsZones, http01, dns01}) => ({
      ...(dnsZones.length === 0 ? {} : {selector: {dnsZones}}),
      ...(dns01 === undefined ? {} : {dns01}),
      ...(http01 === undefined ? {} : {http01: http01Spec(http01)}),
    })),
  }
}

type Http01 = NonNullable<z.output<typeof solverSchema>['http01']>

const http01Spec = ({gateway, ingressClassName}: Http01): object =>
  gateway === undefined
    ? {ingress: {ingressClassName}}
    : {gatewayHTTPRoute: {parentRefs: [{...gateway, kind: 'Gateway', group: 'gateway.networking.k8s.io'}]}}
