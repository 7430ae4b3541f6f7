import {z} from 'zod'
import {refOf} from '../../../kubernetes/refs.ts'
import type {KubeReader} from '../../../kubernetes/types.ts'
import type {NotReady} from '../../release/types.ts'

export const SERVICE_CLASS = 'service.k8s.aws/nlb'
export const INGRESS_CLASS = 'alb'
const WEBHOOKS = ['MutatingWebhookConfiguration', 'ValidatingWebhookConfiguration'] as const

const webhooksSchema = z.array(
  z.looseObject({clientConfig: z.looseObject({caBundle: z.string().optional()})}),
)
const serviceSchema = z.looseObject({loadBalancerClass: z.string().optional()})
const ingressSchema = z.looseObject({ingressClassName: z.string().optional()})

/** Webhooks that the API server cannot trust yet: it would refuse every Service that they are asked about. */
export async function untrustedWebhooks(kube: KubeReader, name: string): Promise<readonly NotReady[]> {
  const found: NotReady[] = []
  for (const kind of WEBHOOKS) {
    const object = await kube.get({apiVersion: 'admissionregistration.k8s.io/v1', kind, name})
    if (object === undefined) continue
    const hooks = webhooksSchema.parse(object['webhooks'] ?? [])
    if (hooks.every(({clientConfig}) => (clientConfig.caBundle ?? '') !== '')) continue
    found.push({
      ref: refOf(object),
      problem: 'cert-manager has not filled in its certificate authority yet',
      isStuck: false,
    })
  }
  return found
}

/** Services and Ingresses that have a load balancer of the controller. */
export async function balanced(kube: KubeReader): Promise<readonly string[]> {
  const services = await kube.list({apiVersion: 'v1', kind: 'Service'})
  const ingresses = await kube.list({apiVersion: 'networking.k8s.io/v1', kind: 'Ingress'})
  return [
    ...services.flatMap(({metadata, spec}) =>
      serviceSchema.parse(spec ?? {}).loadBalancerClass === SERVICE_CLASS
        ? [`Service ${metadata.namespace ?? ''}/${metadata.name} has a load balancer of it`]
        : [],
    ),
    ...ingresses.flatMap(({metadata, spec}) =>
      ingressSchema.parse(spec ?? {}).ingressClassName === INGRESS_CLASS
        ? [`Ingress ${metadata.namespace ?? ''}/${metadata.name} uses IngressClass ${INGRESS_CLASS}`]
        : [],
    ),
  ]
}
