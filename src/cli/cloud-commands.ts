import {Flags} from '@oclif/core'
import type {CloudKind, VmSize} from '../infrastructure/clouds/cloud.ts'
import type {Context} from '../spec/context.ts'
import type {BaseCommand} from './base-command.ts'
import {type CloudFlagValues, openAnywhere, openPlace, placeOf} from './cloud-flags.ts'
import {contextText, identityText, regionsText, vmSizesText} from './cloud-results.ts'

export const sizeFlags = {
  'min-vcpus': Flags.integer({
    description: 'only sizes with at least this many vCPUs',
    env: 'CLOUDER_MIN_VCPUS',
    helpValue: 'N',
  }),
  'min-memory': Flags.integer({
    description: 'only sizes with at least this much memory, in GiB',
    env: 'CLOUDER_MIN_MEMORY',
    helpValue: 'GIB',
  }),
  gpu: Flags.boolean({description: 'only sizes with a GPU', env: 'CLOUDER_GPU'}),
  arch: Flags.string({
    description: 'only sizes of this CPU architecture',
    env: 'CLOUDER_ARCH',
    options: ['amd64', 'arm64'],
  }),
}

/** `clouder aws info`, `clouder azure info`: whose the credentials are. */
export async function showIdentity(
  command: BaseCommand,
  kind: CloudKind,
  flags: CloudFlagValues,
): Promise<void> {
  const tools = await command.tools()
  const place = await placeOf(kind, flags, tools)
  const identity = await (await openAnywhere(place, tools)).identity(tools.signal)
  await command.show({...identity, context: place.context}, () => identityText(identity, place.context))
}

/** `… configure`: a context of what the credentials lead to, and makes it the current one. */
export async function configure(
  command: BaseCommand,
  kind: CloudKind,
  name: string | undefined,
  flags: CloudFlagValues,
): Promise<void> {
  const tools = await command.tools()
  const place = {...(await placeOf(kind, flags, tools)), context: undefined}
  const cloud = kind === 'aws' ? await openPlace(place, tools) : await openAnywhere(place, tools)
  const {account} = await cloud.identity(tools.signal)
  const context: Context =
    kind === 'aws'
      ? {
          provider: kind,
          account,
          region: cloud.region,
          ...(place.profile === undefined ? {} : {profile: place.profile}),
        }
      : {
          provider: kind,
          subscription: account,
          ...(place.region === undefined ? {} : {location: place.region}),
        }
  const named = {name: name ?? kind, isCurrent: true, context}
  await tools.contexts.set(named.name, context, {makeCurrent: true})
  await command.show(named, () => contextText(named))
}

export async function showRegions(
  command: BaseCommand,
  kind: CloudKind,
  flags: CloudFlagValues,
): Promise<void> {
  const tools = await command.tools()
  const cloud = await openAnywhere(await placeOf(kind, flags, tools), tools)
  const regions = await cloud.regions(tools.signal)
  const options = {colours: command.colours, columns: command.terminal.columns}
  await command.show({regions}, () => regionsText(regions, options))
}

export interface SizeFlagValues extends CloudFlagValues {
  readonly 'min-vcpus'?: number | undefined
  readonly 'min-memory'?: number | undefined
  readonly gpu?: boolean
  readonly arch?: string | undefined
}

export async function showVmSizes(
  command: BaseCommand,
  kind: CloudKind,
  flags: SizeFlagValues,
): Promise<void> {
  const tools = await command.tools()
  const cloud = await openPlace(await placeOf(kind, flags, tools), tools)
  const sizes = (await cloud.vmSizes(tools.signal)).filter((size) => fits(size, flags))
  const options = {colours: command.colours, columns: command.terminal.columns}
  await command.show({region: cloud.region, sizes}, () => vmSizesText(sizes, options))
}

export function fits(size: VmSize, flags: SizeFlagValues): boolean {
  return (
    size.vcpus >= (flags['min-vcpus'] ?? 0) &&
    size.memoryGiB >= (flags['min-memory'] ?? 0) &&
    (flags.gpu !== true || size.gpus > 0) &&
    (flags.arch === undefined || flags.arch === size.arch)
  )
}
