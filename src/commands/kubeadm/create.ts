import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, nameArgument, runFlags, yesFlag} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class KubeadmCreate extends BaseCommand {
  static override summary = 'create the machines of a cluster, without Kubernetes'
  static override description = 'Infrastructure only; setup then turns the machines into a cluster.'
  static override examples = [
    {
      description: 'machines for one control plane and two workers',
      command: '<%= config.bin %> kubeadm create demo --provider local --workers 2',
    },
  ]
  static override args = nameArgument
  static override flags = {...specFlags, ...runFlags, ...bundleFlag, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmCreate)
    const {bringUp} = await import('../../cli/run-init.ts')
    await bringUp(this, 'create', args.name, flags)
  }
}
