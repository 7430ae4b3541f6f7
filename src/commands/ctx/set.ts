import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {awsFlags, azureFlags} from '../../cli/cloud-flags.ts'
import {contextArgument} from '../../cli/ctx-flags.ts'
import {ConfigError} from '../../base/errors.ts'

export default class CtxSet extends BaseCommand {
  static override summary = 'create or change a context, and switch to it'
  static override description =
    'Clusters whose file sets no account, region or profile take them from the current context. A context holds no credentials: they come from the default credential chain of the cloud.'
  static override examples = [
    {description: 'switch to a context that exists', command: '<%= config.bin %> ctx set prod'},
    {
      description: 'an AWS account; credentials of another account are refused from then on',
      command:
        "<%= config.bin %> ctx set prod --provider aws --account '123456789012' --region eu-central-1 --profile prod",
    },
    {
      description: 'an Azure location',
      command: '<%= config.bin %> ctx set dev --provider azure --location westeurope',
    },
  ]
  static override args = contextArgument
  static override flags = {
    provider: Flags.string({
      description: 'where machines come from',
      env: 'CLOUDER_PROVIDER',
      options: ['aws', 'azure'],
    }),
    account: Flags.string({
      description: 'AWS account, twelve digits',
      env: 'CLOUDER_ACCOUNT',
      helpValue: 'NUMBER',
    }),
    ...awsFlags,
    ...azureFlags,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CtxSet)
    const {name} = args
    if (name === undefined) {
      throw new ConfigError('FLAG_MISSING', 'no context is named', {suggestions: ['clouder ctx set prod']})
    }
    const [{contextText}, {contextWith}] = await Promise.all([
      import('../../cli/cloud-results.ts'),
      import('../../cli/ctx-set.ts'),
    ])
    const {contexts} = await this.tools()
    const before = (await contexts.list()).find((each) => each.name === name)
    const {provider, account, region, profile, subscription, location} = flags
    const given = {provider, account, region, profile, subscription, location}
    const context = contextWith(name, before?.context, given)
    await contexts.set(name, context, {makeCurrent: true})
    const named = {name, isCurrent: true, context}
    await this.show(named, () => contextText(named))
  }
}
