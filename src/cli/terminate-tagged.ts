import {ConfigError} from '../base/errors.ts'
import {cloudOf} from '../spec/cloud-machines.ts'
import {resolveClusterName, specOf} from '../workflows/session/clusters.ts'
import {terminateByTag} from '../workflows/cluster/terminate-cloud.ts'
import type {BaseCommand} from './base-command.ts'
import {type CloudFlagValues, type CloudPlace, placeOf} from './cloud-flags.ts'
import {terminateText} from './results.ts'
import type {Tools} from '../workflows/session/types.ts'

export interface TaggedFlagValues extends CloudFlagValues {
  readonly provider?: string | undefined
  readonly yes?: boolean
  readonly 'dry-run'?: boolean
}

/** `kubeadm terminate --by-tag`: needs nothing but credentials, and the name. */
export async function terminateTagged(
  command: BaseCommand,
  given: string | undefined,
  flags: TaggedFlagValues,
): Promise<void> {
  const tools = await command.tools()
  const name = await resolveClusterName(given, tools)
  const place = await placeOfCluster(name, flags, tools)
  const dryRun = flags['dry-run'] ?? false
  const confirm = (found: readonly string[]) => {
    const lines = found.map((line) => `  ${line}`).join('\n')
    const text = `all of this has the tag of ${name} and will be deleted, including the data in it:\n${lines}\ndelete it? This cannot be undone.`
    return command.ask({text, declined: 'nothing was removed', yes: flags.yes ?? false})
  }
  const result = await terminateByTag(name, {...place, dryRun, confirm}, tools)
  await command.show({...result, dryRun}, () => terminateText(result, dryRun))
}

/** Where the flags say, else where the record says, else where the current context says. */
async function placeOfCluster(
  name: string,
  flags: TaggedFlagValues,
  tools: Pick<Tools, 'contexts' | 'store'>,
): Promise<Omit<CloudPlace, 'context'>> {
  const {provider} = flags
  if (provider === 'aws' || provider === 'azure') return placeOf(provider, flags, tools)
  const isKnown = (await tools.store.list()).includes(name)
  const spec = isKnown ? await specOf(name, tools) : undefined
  if (spec !== undefined && cloudOf(spec) !== undefined) {
    const {kind, aws, azure} = spec.provider
    return kind === 'azure'
      ? {kind, region: azure.location, profile: undefined, account: azure.subscription}
      : {kind: 'aws', region: aws.region, profile: aws.profile, account: aws.account}
  }
  const current = await tools.contexts.find()
  if (current !== undefined) return placeOf(current.context.provider, flags, tools)
  throw new ConfigError('FLAG_MISSING', `the cloud of ${name} is not known`, {
    suggestions: [`clouder kubeadm terminate ${name} --by-tag --provider aws --region eu-central-1`],
  })
}
