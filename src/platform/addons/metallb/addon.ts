import {randomBytes} from 'node:crypto'
import {z} from 'zod'
import type {KubeReader} from '../../../kubernetes/types.ts'
import {defineAddon} from '../addon.ts'
import {loadBalancersOf} from '../balancers.ts'
import {addressRange} from './addresses.ts'
import {ADDON, membersSecret, metalLbObjects} from './objects.ts'
import {smokeMetalLb} from './smoke.ts'

/** Services of type LoadBalancer where no cloud makes balancers. */
export const metalLbAddon = defineAddon({
  id: ADDON,
  title: 'Load balancing with MetalLB',
  version: '0.15.2',
  description: 'addresses of your network for services of type LoadBalancer, announced by ARP',
  stage: 'platform',
  needs: ['pod-network'],
  provides: ['load-balancer'],
  images: ['metallb-controller', 'metallb-speaker'],
  manifests: ['metallb-crds'],
  parameters: () =>
    z.strictObject({
      addresses: z
        .array(addressRange)
        .min(1)
        .describe(
          'ranges `first-last` or networks of the network of the nodes that nothing else uses, and no DHCP server assigns',
        ),
      interfaces: z
        .array(z.string().min(1))
        .default([])
        .describe('interfaces of nodes that addresses are announced on; empty: all'),
    }),
  unavailable: ({provider}) =>
    provider.kind === 'aws' || provider.kind === 'azure'
      ? `the network of provider ${provider.kind} carries no ARP between machines; its own load balancers are used`
      : undefined,
  objects: (parameters, facts) =>
    metalLbObjects({
      ...parameters,
      images: {controller: facts.image('metallb-controller'), speaker: facts.image('metallb-speaker')},
      definitions: facts.manifests('metallb-crds'),
    }),
  createdOnce: () => [membersSecret(randomBytes(32).toString('base64'))],
  usedBy: (kube: KubeReader) => loadBalancersOf(kube),
  smoke: {proves: 'a Service of type LoadBalancer got an address that answers', run: smokeMetalLb},
})
