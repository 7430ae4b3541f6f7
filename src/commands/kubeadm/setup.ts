import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, nameArgument, runFlags, yesFlag} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class KubeadmSetup extends BaseCommand {
  static override summary = 'turn existing machines into a cluster'
  static override description = 'Bootstrap only: the machines must exist, made by create or by other means.'
  static override examples = [
    {
      description: 'machines made by kubeadm create',
      command: '<%= config.bin %> kubeadm setup demo',
    },
    {
      description: 'machines listed in a file',
      command: '<%= config.bin %> kubeadm setup --config cluster.yaml',
    },
    {
      description: 'machines made by Terraform in a pipeline',
      command: '<%= config.bin %> kubeadm setup --config cluster.yaml --machines-from outputs.json',
    },
  ]
  static override args = nameArgument
  static override flags = {
    ...specFlags,
    ...runFlags,
    ...bundleFlag,
    ...yesFlag,
    'machines-from': Flags.string({
      description: 'read the machines from this file, the output of `terraform output -json`',
      env: 'CLOUDER_MACHINES_FROM',
      helpValue: 'FILE',
    }),
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmSetup)
    const {bringUp} = await import('../../cli/run-init.ts')
    await bringUp(this, 'setup', args.name, flags)
  }
}
