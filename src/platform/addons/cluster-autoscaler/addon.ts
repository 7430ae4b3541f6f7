import {z} from 'zod'
import {defineAddon} from '../addon.ts'

/** Named in the catalogue, so that the list of addons says why there is none. */
export const clusterAutoscalerAddon = defineAddon({
  id: 'cluster-autoscaler',
  title: 'Cluster autoscaler',
  version: '1.35.0',
  description: 'adds and removes machines by what pods ask for',
  stage: 'platform',
  needs: [],
  provides: [],
  images: [],
  parameters: () => z.strictObject({}),
  unavailable: () =>
    'machines are made one by one, each under the name of its node; it needs groups that start machines which join by themselves. Change spec.workers instead and run clouder kubeadm init',
  objects: () => [],
})
