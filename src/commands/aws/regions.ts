import {BaseCommand} from '../../cli/base-command.ts'
import {awsFlags} from '../../cli/cloud-flags.ts'

export default class AwsRegions extends BaseCommand {
  static override summary = 'list the AWS regions'
  static override examples = [{description: 'every region', command: '<%= config.bin %> aws regions'}]
  static override flags = awsFlags

  async run(): Promise<void> {
    const {flags} = await this.parse(AwsRegions)
    const {showRegions} = await import('../../cli/cloud-commands.ts')
    await showRegions(this, 'aws', flags)
  }
}
