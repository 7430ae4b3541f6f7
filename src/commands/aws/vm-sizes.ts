import {BaseCommand} from '../../cli/base-command.ts'
import {showVmSizes, sizeFlags} from '../../cli/cloud-commands.ts'
import {awsFlags} from '../../cli/cloud-flags.ts'

export default class AwsVmSizes extends BaseCommand {
  static override summary = 'list the machine sizes of an AWS region'
  static override description =
    'With the zones that offer them; a size that your account cannot use is listed with the reason.'
  static override examples = [
    {description: 'every size', command: '<%= config.bin %> aws vm-sizes --region eu-central-1'},
    {
      description: 'at least 4 vCPUs and 16 GiB',
      command: '<%= config.bin %> aws vm-sizes --region eu-central-1 --min-vcpus 4 --min-memory 16',
    },
  ]
  static override flags = {...awsFlags, ...sizeFlags}

  async run(): Promise<void> {
    const {flags} = await this.parse(AwsVmSizes)
    await showVmSizes(this, 'aws', flags)
  }
}
