import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {listOf, nameArgument, runFlags, runFlagsOf, skipUnreachableFlag, yesFlag} from '../../cli/flags.ts'

export default class KubeadmReset extends BaseCommand {
  static override summary = 'remove Kubernetes from the machines, and keep the machines'
  static override description =
    'The whole cluster, or single nodes. Data of pods and of etcd on these nodes is lost, including checkpoints on their disks.'
  static override examples = [
    {description: 'one node', command: '<%= config.bin %> kubeadm reset demo --node worker-2'},
    {
      description: 'the whole cluster, without confirmation',
      command: '<%= config.bin %> kubeadm reset demo --yes',
    },
  ]
  static override args = nameArgument
  static override flags = {
    node: Flags.string({
      description: 'node to reset; can be repeated; default: all',
      env: 'CLOUDER_RESET_NODE',
      multiple: true,
      multipleNonGreedy: true,
      delimiter: ',',
    }),
    'keep-checkpoints': Flags.boolean({
      description: 'keep the encrypted checkpoints on the disks of the nodes',
      env: 'CLOUDER_KEEP_CHECKPOINTS',
      // Absent is undefined otherwise, which no template takes.
      default: false,
    }),
    ...runFlags,
    ...yesFlag,
    ...skipUnreachableFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(KubeadmReset)
    const [{resetText}, {resolveClusterName, specOf}, {resetCluster}] = await Promise.all([
      import('../../cli/results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/cluster/reset.ts'),
    ])
    const tools = await this.tools()
    const {name} = await specOf(await resolveClusterName(args.name, tools), tools)
    const nodes = listOf(flags.node)
    const keepsCheckpoints = flags['keep-checkpoints']
    const run = runFlagsOf(flags)
    const what = nodes.length === 0 ? `every node of ${name}` : `${nodes.join(', ')} of ${name}`
    if (!run.dryRun) {
      await this.ask({
        text: `reset ${what}, and lose what is stored there${keepsCheckpoints ? ' but checkpoints' : ''}?`,
        declined: 'nothing was reset',
        yes: flags.yes,
      })
    }
    this.logTo(name)
    const result = await resetCluster(
      name,
      {nodes, keepsCheckpoints, skipUnreachable: flags['skip-unreachable'], flags: run},
      tools,
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({...result, dryRun: run.dryRun}, () => resetText(result, run.dryRun, options))
  }
}
