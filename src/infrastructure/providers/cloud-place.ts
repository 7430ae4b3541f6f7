import type {CloudIdentity} from '../clouds/cloud.ts'
import {StateError} from '../../base/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'

/** Where a cluster is, as specs and contexts tell it. */
export interface CloudPlace {
  readonly region: string | undefined
  readonly account: string | undefined
  readonly profile: string | undefined
}

export function placeOf({provider}: ClusterSpec): CloudPlace {
  if (provider.kind === 'azure') {
    const {location, subscription} = provider.azure
    return {region: location, account: subscription, profile: undefined}
  }
  const {region, account, profile} = provider.aws
  return {region, account, profile}
}

/**
 * What the spec says, else what it said when it was applied: a cluster does not move because a variable of the shell
 * changed. Throws StateError CLUSTER_MISMATCH.
 */
export function keptPlace(spec: ClusterSpec, before: ClusterSpec | undefined): CloudPlace {
  const wanted = placeOf(spec)
  if (before === undefined) return wanted
  const old = placeOf(before)
  for (const key of ['region', 'account'] as const) {
    if (wanted[key] === undefined || old[key] === undefined || wanted[key] === old[key]) continue
    throw new StateError(
      'CLUSTER_MISMATCH',
      `cluster ${spec.name} was created in ${key} ${old[key]}, but the spec sets ${wanted[key]}`,
      {suggestions: [`set ${key} to ${old[key]} in the spec`, 'or choose another name for the new cluster']},
    )
  }
  return {
    region: wanted.region ?? old.region,
    account: wanted.account ?? old.account,
    profile: wanted.profile ?? old.profile,
  }
}

/** The spec with the place that it is applied in. */
export function inPlace(
  spec: ClusterSpec,
  {region, account}: Pick<CloudIdentity, 'region' | 'account'>,
  profile: string | undefined,
): ClusterSpec {
  const {provider} = spec
  if (provider.kind === 'azure')
    return {
      ...spec,
      provider: {...provider, azure: {...provider.azure, location: region, subscription: account}},
    }
  const aws = {...provider.aws, region, account, ...(profile === undefined ? {} : {profile})}
  return {...spec, provider: {...provider, aws}}
}

/**
 * Variables by which Terraform uses the profile that the spec means; keys of the environment would come before it.
 * The configuration names none, so that it is the same wherever it is applied.
 */
export function variablesOf(spec: ClusterSpec | undefined): Readonly<Record<string, string | undefined>> {
  if (spec?.provider.kind !== 'aws' || spec.provider.aws.profile === undefined) return {}
  return {
    AWS_PROFILE: spec.provider.aws.profile,
    AWS_ACCESS_KEY_ID: undefined,
    AWS_SECRET_ACCESS_KEY: undefined,
    AWS_SESSION_TOKEN: undefined,
  }
}
