import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, nameArgument, runFlags} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'

const {'dry-run': _, ...planFlags} = runFlags

export default class KubeadmPlan extends BaseCommand {
  static override summary = 'show what init would do, without changing anything'
  static override description =
    'Every step that is still needed, with its host and the reason. After a complete init the list is empty.'
  static override examples = [
    {description: 'the steps for a new cluster', command: '<%= config.bin %> kubeadm plan demo --workers 2'},
    {
      description: 'for a script: exit code 2 when there is something to do',
      command: '<%= config.bin %> kubeadm plan demo --detailed-exitcode',
    },
  ]
  static override args = nameArgument
  static override flags = {
    ...specFlags,
    ...planFlags,
    ...bundleFlag,
    'detailed-exitcode': Flags.boolean({
      description: 'exit with 2 when there is something to do',
      env: 'CLOUDER_DETAILED_EXITCODE',
    }),
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmPlan)
    const {bringUp} = await import('../../cli/run-init.ts')
    const result = await bringUp(this, 'init', args.name, {...flags, 'dry-run': true})
    const open = result.steps.length + result.machineChanges.length
    if (flags['detailed-exitcode'] && open > 0) process.exitCode = 2
  }
}
