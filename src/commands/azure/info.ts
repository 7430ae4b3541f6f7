import {BaseCommand} from '../../cli/base-command.ts'
import {azureFlags} from '../../cli/cloud-flags.ts'

export default class AzureInfo extends BaseCommand {
  static override summary = 'show the identity behind the Azure credentials'
  static override description =
    'Asks Azure itself, with its default credential chain. Fails when the subscription is not that of the current context.'
  static override examples = [
    {description: 'who am I', command: '<%= config.bin %> azure info'},
    {description: 'as JSON', command: '<%= config.bin %> azure info --json'},
  ]
  static override flags = azureFlags

  async run(): Promise<void> {
    const {flags} = await this.parse(AzureInfo)
    const {showIdentity} = await import('../../cli/cloud-commands.ts')
    await showIdentity(this, 'azure', flags)
  }
}
