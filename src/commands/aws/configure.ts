import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {contextArgument} from '../../cli/ctx-flags.ts'
import {awsFlags} from '../../cli/cloud-flags.ts'

export default class AwsConfigure extends BaseCommand {
  static override summary = 'create a context from the AWS credentials in use'
  static override description =
    'Looks up the account of the credentials, and saves account and region as the current context. Credentials are not stored.'
  static override examples = [
    {
      description: 'create a context named prod',
      command: '<%= config.bin %> aws configure prod --region eu-central-1',
    },
  ]
  static override args = contextArgument
  static override flags = {...awsFlags, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AwsConfigure)
    const {configure} = await import('../../cli/cloud-commands.ts')
    await configure(this, 'aws', args.name, flags)
  }
}
