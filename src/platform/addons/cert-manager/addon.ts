import {z} from 'zod'
import type {KubeReader} from '../../../kubernetes/types.ts'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import {defineAddon} from '../addon.ts'
import {labelsOf, webhookReplicas} from '../pods.ts'
import {issuerSchema} from './issuers.ts'
import {ADDON, CONTROLLER} from './names.ts'
import {certManagerObjects} from './objects.ts'
import {smokeCertificates} from './smoke.ts'

const usesGateways = ({addons}: ClusterSpec): boolean =>
  addons.install.includes('gateway') || (addons.profile === 'full' && !addons.without.includes('gateway'))

/** Certificates for Ingresses, Gateways and programs, issued and renewed. */
export const certManagerAddon = defineAddon({
  id: ADDON,
  title: 'Certificates',
  version: '1.21.2',
  description:
    'cert-manager: certificates from the authority of the cluster, your own, or ACME, and their renewal',
  profile: 'full',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['certificates'],
  images: [
    'cert-manager-controller',
    'cert-manager-webhook',
    'cert-manager-cainjector',
    'cert-manager-acmesolver',
  ],
  manifests: ['cert-manager-crds'],
  parameters: (spec) =>
    z.strictObject({
      issuers: z
        .array(issuerSchema)
        .default([])
        .describe('ClusterIssuers besides `self-signed` and `cluster-ca`'),
      gatewayApi: z
        .boolean()
        .default(usesGateways(spec))
        .describe('whether Gateways get certificates; default: whether the addon gateway is selected'),
    }),
  objects: ({issuers, gatewayApi}, facts) =>
    certManagerObjects({
      issuers,
      gatewayApi,
      images: {
        controller: facts.image('cert-manager-controller'),
        webhook: facts.image('cert-manager-webhook'),
        cainjector: facts.image('cert-manager-cainjector'),
        acmesolver: facts.image('cert-manager-acmesolver'),
      },
      definitions: facts.manifests('cert-manager-crds'),
      webhookReplicas: webhookReplicas(facts),
    }),
  usedBy: usesOf,
  smoke: {proves: 'a certificate was issued, and its chain verifies', run: smokeCertificates},
})

/** Certificates and issuers that are not of the addon itself. */
async function usesOf(kube: KubeReader): Promise<readonly string[]> {
  const apiVersion = 'cert-manager.io/v1'
  const lists = await Promise.all(
    ['Certificate', 'Issuer', 'ClusterIssuer'].map((kind) => kube.list({apiVersion, kind})),
  )
  return lists
    .flat()
    .filter(
      ({metadata}) => metadata.labels?.['clouder.dev/addon'] !== labelsOf(CONTROLLER)['clouder.dev/addon'],
    )
    .map(({kind, metadata: {name, namespace}}) => {
      const at = namespace === undefined ? name : `${namespace}/${name}`
      return `${kind} ${at} would be deleted with its kind`
    })
}
