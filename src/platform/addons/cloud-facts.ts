import {createHash} from 'node:crypto'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {PlatformError} from '../errors.ts'
import type {ClusterFacts} from './addon.ts'

/** What the stack says of its cloud under a name. Throws PlatformError ADDON_UNAVAILABLE where the record has nothing. */
export function cloudFact({cloud, spec}: ClusterFacts, name: string): string {
  const value = cloud[name] ?? ''
  if (value !== '') return value
  throw new PlatformError(
    'ADDON_UNAVAILABLE',
    `the record of cluster ${spec.name} has no ${name} of its cloud, which this addon needs`,
    {suggestions: [`clouder kubeadm init ${spec.name}   # reads the outputs of the stack again`]},
  )
}

/** Why an addon of one cloud cannot be installed on another provider. */
export const onlyOn =
  (cloud: 'aws' | 'azure') =>
  ({provider}: ClusterSpec): string | undefined =>
    provider.kind === cloud ? undefined : `it is for provider ${cloud}, the cluster has ${provider.kind}`

/** An annotation of pods that makes them be replaced when the configuration that they read once is another. */
export const readsOnce = (configuration: string) => ({
  'clouder.dev/configuration-digest': createHash('sha256').update(configuration).digest('hex').slice(0, 16),
})
