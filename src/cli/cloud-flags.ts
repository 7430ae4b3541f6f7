import {Flags} from '@oclif/core'
import type {Cloud, CloudKind} from '../infrastructure/clouds/cloud.ts'
import {InfrastructureError} from '../infrastructure/errors.ts'
import {accountOf, regionOf} from '../spec/context.ts'
import type {Tools} from '../workflows/session/types.ts'

export const awsFlags = {
  region: Flags.string({
    description: 'AWS region; default: the one of the context, then of the AWS configuration',
    env: 'CLOUDER_REGION',
    helpValue: 'REGION',
  }),
  profile: Flags.string({
    description: 'profile of the AWS configuration; default: the one of the context',
    env: 'CLOUDER_PROFILE',
    helpValue: 'NAME',
  }),
}

export const azureFlags = {
  location: Flags.string({
    description: 'Azure location; default: the one of the context',
    env: 'CLOUDER_LOCATION',
    helpValue: 'LOCATION',
  }),
  subscription: Flags.string({
    description: 'Azure subscription; default: the one of the context, or the only one there is',
    env: 'CLOUDER_SUBSCRIPTION',
    helpValue: 'UUID',
  }),
}

/** Where a command looks: flags first, then the current context of that cloud. */
export interface CloudPlace {
  readonly kind: CloudKind
  readonly region: string | undefined
  readonly profile: string | undefined
  readonly account: string | undefined
  /** Name of the context that filled it in. */
  readonly context: string | undefined
}

export interface CloudFlagValues {
  readonly region?: string | undefined
  readonly profile?: string | undefined
  readonly location?: string | undefined
  readonly subscription?: string | undefined
}

export async function placeOf(
  kind: CloudKind,
  flags: CloudFlagValues,
  {contexts}: Pick<Tools, 'contexts'>,
): Promise<CloudPlace> {
  const given = {
    kind,
    region: kind === 'aws' ? flags.region : flags.location,
    profile: flags.profile,
    account: flags.subscription,
  }
  const current = await contexts.find()
  if (current?.context.provider !== kind) return {...given, context: undefined}
  const {context, name} = current
  const profile = context.provider === 'aws' ? context.profile : undefined
  const account = accountOf(context)
  // Another profile or subscription is another account: then the context is not meant.
  const isOther =
    (given.profile !== undefined && given.profile !== profile) ||
    (given.account !== undefined && given.account !== account)
  if (isOther) return {...given, context: undefined}
  return {kind, region: given.region ?? regionOf(context), profile, account, context: name}
}

/** Opens the cloud of a place. Throws InfrastructureError, ACCOUNT_MISMATCH where the context means another account. */
export function openPlace(
  {kind, region, profile, account}: CloudPlace,
  {openCloud, signal}: Pick<Tools, 'openCloud' | 'signal'>,
): Promise<Cloud> {
  return openCloud({kind, region, profile, account, signal})
}

/** For what is the same in every region: where nobody says one, any will do. */
export async function openAnywhere(
  place: CloudPlace,
  tools: Pick<Tools, 'openCloud' | 'signal'>,
): Promise<Cloud> {
  try {
    return await openPlace(place, tools)
  } catch (error) {
    if (!(error instanceof InfrastructureError) || error.code !== 'REGION_MISSING') throw error
    return openPlace({...place, region: place.kind === 'aws' ? 'us-east-1' : 'westeurope'}, tools)
  }
}
