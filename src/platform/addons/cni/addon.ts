import {z} from 'zod'
import {defineAddon} from '../addon.ts'
import {flannelObjects} from './flannel.ts'

/** Pods get addresses and reach each other. */
export const cniAddon = defineAddon({
  id: 'cni',
  title: 'Pod network',
  version: '0.28.4',
  description: 'addresses for pods, and a network between them: flannel with VXLAN',
  profile: 'minimal',
  stage: 'bootstrap',
  needs: [],
  provides: ['pod-network'],
  images: ['flannel'],
  parameters: () => z.strictObject({}),
  unavailable: ({network}) =>
    network.cni === 'none' ? 'spec.network.cni is none: you install the pod network yourself' : undefined,
  objects: (_, {spec, apiAddress, image}) =>
    flannelObjects({
      image: image('flannel').reference,
      podCidr: spec.network.podCidr,
      serviceCidr: spec.network.serviceCidr,
      api: apiAddress,
    }),
})
