import {BaseCommand} from '../../cli/base-command.ts'
import {namespaceFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class CheckpointLs extends BaseCommand {
  static override summary = 'list checkpoints'
  static override examples = [
    {description: 'all container hosts', command: '<%= config.bin %> checkpoint ls'},
    {
      description: 'checkpoints of one namespace',
      command: '<%= config.bin %> checkpoint ls --namespace team',
    },
  ]
  static override flags = {...namespaceFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {flags} = await this.parse(CheckpointLs)
    const [{checkpointsText}, {resolveClusterName}, {withCheckpoints}, {listCheckpoints}] = await Promise.all(
      [
        import('../../cli/checkpoint-results.ts'),
        import('../../workflows/session/clusters.ts'),
        import('../../workflows/checkpoint/cluster.ts'),
        import('../../workflows/checkpoint/checkpoint.ts'),
      ],
    )
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const checkpoints = await withCheckpoints(cluster, tools, ({kube}) =>
      listCheckpoints(kube, flags.namespace),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, checkpoints}, () => checkpointsText(checkpoints, tools.now(), options))
  }
}
