import {BaseCommand} from '../../cli/base-command.ts'
import {azureFlags} from '../../cli/cloud-flags.ts'

export default class AzureRegions extends BaseCommand {
  static override summary = 'list the Azure locations'
  static override examples = [{description: 'every location', command: '<%= config.bin %> azure regions'}]
  static override flags = azureFlags

  async run(): Promise<void> {
    const {flags} = await this.parse(AzureRegions)
    const {showRegions} = await import('../../cli/cloud-commands.ts')
    await showRegions(this, 'azure', flags)
  }
}
