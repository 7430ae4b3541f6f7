import {BaseCommand} from '../../cli/base-command.ts'
import {showVmSizes, sizeFlags} from '../../cli/cloud-commands.ts'
import {azureFlags} from '../../cli/cloud-flags.ts'

export default class AzureVmSizes extends BaseCommand {
  static override summary = 'list the machine sizes of an Azure location'
  static override description =
    'With the zones that offer them; a size that your account cannot use is listed with the reason.'
  static override examples = [
    {description: 'every size', command: '<%= config.bin %> azure vm-sizes --location westeurope'},
    {
      description: 'at least 4 vCPUs and 16 GiB',
      command: '<%= config.bin %> azure vm-sizes --location westeurope --min-vcpus 4 --min-memory 16',
    },
  ]
  static override flags = {...azureFlags, ...sizeFlags}

  async run(): Promise<void> {
    const {flags} = await this.parse(AzureVmSizes)
    await showVmSizes(this, 'azure', flags)
  }
}
