import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {contextArgument} from '../../cli/ctx-flags.ts'
import {azureFlags} from '../../cli/cloud-flags.ts'

export default class AzureConfigure extends BaseCommand {
  static override summary = 'make a context of the Azure credentials that are in use here'
  static override description =
    'Asks Azure which subscription they are of, and keeps that with the location as the current context. Credentials are not stored.'
  static override examples = [
    {
      description: 'a context called prod',
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
