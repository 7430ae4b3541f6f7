import {BaseCommand} from '../../cli/base-command.ts'
import {awsFlags} from '../../cli/cloud-flags.ts'

export default class AwsInfo extends BaseCommand {
  static override summary = 'show the identity behind the AWS credentials'
  static override description =
    'Asks AWS itself, with its default credential chain. Fails when the account is not that of the current context.'
  static override examples = [
    {description: 'who am I', command: '<%= config.bin %> aws info'},
    {description: 'as JSON', command: '<%= config.bin %> aws info --json'},
  ]
  static override flags = awsFlags

  async run(): Promise<void> {
    const {flags} = await this.parse(AwsInfo)
    const {showIdentity} = await import('../../cli/cloud-commands.ts')
    await showIdentity(this, 'aws', flags)
  }
}
