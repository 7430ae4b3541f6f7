import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {contextArgument} from '../../cli/ctx-flags.ts'
import {azureFlags} from '../../cli/cloud-flags.ts'

export default class AzureConfigure extends BaseCommand {
  static override summary = 'create a context from the Azure credentials in use'
  static override description =
    'Looks up the subscription of the credentials, and saves subscription and location as the current context. Credentials are not stored.'
  static override examples = [
    {
      description: 'create a context named prod',
      command: '<%= config.bin %> azure configure prod --location westeurope',
    },
  ]
  static override args = contextArgument
  static override flags = {...azureFlags, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AzureConfigure)
    const {configure} = await import('../../cli/cloud-commands.ts')
    await configure(this, 'azure', args.name, flags)
  }
}
