import {BaseCommand} from '../../cli/base-command.ts'
import {awsFlags} from '../../cli/cloud-flags.ts'

export default class AwsInfo extends BaseCommand {
  static override summary = 'show whose the credentials of AWS are'
  static override description =
    'Asks the cloud itself, with the credentials of its own chain. Refuses those of another account than the current context means.'
  static override examples = [
    {description: 'who am I', command: '<%= config.bin %> aws info'},
    {description: 'for a program', command: '<%= config.bin %> aws info --json'},
  ]
  static override flags = awsFlags

  async run(): Promise<void> {
    const {flags} = await this.parse(AwsInfo)
    const {showIdentity} = await import('../../cli/cloud-commands.ts')
    await showIdentity(this, 'aws', flags)
  }
}
