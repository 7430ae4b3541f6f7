import {z} from 'zod'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'

const QUANTITY = /^[1-9]\d*(?:Mi|Gi|Ti)$/
const DNS_LABEL = /^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$/

/** Parameters of an addon that keeps data, with a default size of its own. */
export const storageShape = (size: string) => ({
  size: z
    .string()
    .regex(QUANTITY, {error: 'expected a size with Mi, Gi or Ti, such as 10Gi'})
    .default(size)
    .describe('size of each volume'),
  storageClassName: z
    .string()
    .regex(DNS_LABEL, {error: 'expected the name of a StorageClass'})
    .optional()
    .describe('StorageClass of the volumes; default: the default class of the cluster'),
})

/** Whether claims that name no class get a volume in a cluster of that spec. */
export const hasDefaultClass = ({provider, addons}: ClusterSpec): boolean =>
  provider.kind === 'local' || provider.kind === 'byon'
    ? addons.install.includes('local-path-storage') ||
      (addons.profile !== 'minimal' && !addons.without.includes('local-path-storage'))
    : addons.profile !== 'minimal'
