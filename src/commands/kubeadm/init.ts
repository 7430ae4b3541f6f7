import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, nameArgument, runFlags, yesFlag} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class KubeadmInit extends BaseCommand {
  static override summary = 'create machines and turn them into a working cluster'
  static override description =
    'Does everything that cluster.yaml and the flags describe, until all nodes are Ready. Run it again at any time: it does only what is missing.'
  static override examples = [
    {
      description: 'three nodes on this machine',
      command: '<%= config.bin %> kubeadm init demo --provider local --workers 2',
    },
    {
      description: 'your own machines, listed in a file',
      command: '<%= config.bin %> kubeadm init --config cluster.yaml',
    },
    {
      description: 'what it would do, without changing anything',
      command: '<%= config.bin %> kubeadm init demo --dry-run',
    },
  ]
  static override args = nameArgument
  static override flags = {...specFlags, ...runFlags, ...bundleFlag, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmInit)
    const {bringUp} = await import('../../cli/run-init.ts')
    await bringUp(this, 'init', args.name, flags)
  }
}
