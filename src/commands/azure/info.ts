import {BaseCommand} from '../../cli/base-command.ts'
import {azureFlags} from '../../cli/cloud-flags.ts'

export default class AzureInfo extends BaseCommand {
  static override summary = 'show whose the credentials of Azure are'
  static override description =
    'Asks the cloud itself, with the credentials of its own chain. Refuses those of another subscription than the current context means.'
  static override examples = [
    {description: 'who am I', command: '<%= config.bin %> azure info'},
    {description: 'for a program', command: '<%= config.bin %> azure info --json'},
  ]
  static override flags = azureFlags

  async run(): Promise<void> {
    const {flags} = await this.parse(AzureInfo)
    const {showIdentity} = await import('../../cli/cloud-commands.ts')
    await showIdentity(this, 'azure', flags)
  }
}
