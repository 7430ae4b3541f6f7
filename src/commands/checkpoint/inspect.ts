import {BaseCommand} from '../../cli/base-command.ts'
import {checkpointArgument, placeOf} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class CheckpointInspect extends BaseCommand {
  static override summary =
    'show the contents of a checkpoint: processes, sockets, files, mounts, privileges, sizes'
  static override description =
    'As the node agent recorded them when it created the checkpoint. Nothing is decrypted, and no key leaves the cluster.'
  static override examples = [
    {description: 'one', command: '<%= config.bin %> checkpoint inspect default/web-20261121-091402'},
  ]
  static override args = checkpointArgument
  static override flags = {...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointInspect)
    const place = placeOf(args.checkpoint, 'checkpoint')
    const [{inspectText}, {resolveClusterName}, {withCheckpoints}, {readCheckpoint}] = await Promise.all([
      import('../../cli/checkpoint-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/checkpoint/checkpoint.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const checkpoint = await withCheckpoints(cluster, tools, ({kube}) => readCheckpoint(kube, place))
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, checkpoint}, () => inspectText(checkpoint, options))
  }
}
