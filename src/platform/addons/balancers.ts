import {waitFor} from '../../base/waiting.ts'
import {z} from 'zod'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import type {SmokeTools} from './addon.ts'
import {tryPod} from './smoke-pods.ts'

const ADDRESS_MS = 120_000
const ANSWER_MS = 60_000

const serviceSchema = z.looseObject({
  spec: z.looseObject({type: z.string().optional()}).default({}),
  status: z
    .looseObject({
      loadBalancer: z
        .looseObject({
          ingress: z
            .array(z.looseObject({ip: z.string().optional(), hostname: z.string().optional()}))
            .optional(),
        })
        .optional(),
    })
    .default({}),
})

/** The address that a load balancer gave a service. */
export function balancerAddressOf(service: KubeObject): string | undefined {
  const [first] = serviceSchema.parse(service).status.loadBalancer?.ingress ?? []
  return first?.ip ?? first?.hostname
}

/** Services that something has to balance, as reasons not to remove it. */
export async function loadBalancersOf(kube: KubeReader): Promise<readonly string[]> {
  const services = await kube.list({apiVersion: 'v1', kind: 'Service'})
  return services
    .filter((service) => serviceSchema.parse(service).spec.type === 'LoadBalancer')
    .map(({metadata}) => `Service ${metadata.namespace ?? ''}/${metadata.name} is of type LoadBalancer`)
}

/** Waits until a service has the address of a load balancer. */
export function waitBalancer({kube, namespace, signal, progress}: SmokeTools, name: string): Promise<string> {
  return waitFor({
    what: `Service ${namespace}/${name} to have an address`,
    check: async () => {
      const service = await kube.get({apiVersion: 'v1', kind: 'Service', namespace, name})
      const address = service === undefined ? undefined : balancerAddressOf(service)
      return address === undefined ? {seen: 'status.loadBalancer is empty'} : {value: address, seen: address}
    },
    timeoutMs: ADDRESS_MS,
    intervalMs: 500,
    signal,
    onSeen: progress,
  })
}

/** Waits until a URL answers a pod with 200; rules of services reach the nodes a moment after their pods are ready. */
export async function waitAnswer(tools: SmokeTools, name: string, url: string): Promise<void> {
  let attempt = 0
  await waitFor({
    what: `${url} to answer`,
    check: async () => {
      attempt += 1
      const image = tools.facts.image('smoke')
      const {ok, seen} = await tryPod(tools, {name: `${name}-${attempt}`, image, args: ['get', url]})
      return ok ? {value: true, seen} : {seen}
    },
    timeoutMs: ANSWER_MS,
    intervalMs: 1000,
    signal: tools.signal,
    onSeen: tools.progress,
  })
}
