import {BaseCommand} from '../../cli/base-command.ts'
import {checkpointArgument, namespaceFlag, placeOf} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class CheckpointVerify extends BaseCommand {
  static override summary = 'read checkpoints back from their store and verify every blob'
  static override description =
    'A node agent checks that every blob is present and unchanged, signed by a key that the cluster trusts, and can be decrypted. Without a name: all that are Ready. Exit code 11 when a checkpoint is damaged.'
  static override examples = [
    {description: 'one', command: '<%= config.bin %> checkpoint verify default/web-20261121-091402'},
    {description: 'all', command: '<%= config.bin %> checkpoint verify'},
  ]
  static override args = checkpointArgument
  static override flags = {...namespaceFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointVerify)
    const place = args.checkpoint === undefined ? undefined : placeOf(args.checkpoint, 'checkpoint')
    const [{verifyText}, {resolveClusterName}, {withCheckpoints}, {verifyCheckpoints}] = await Promise.all([
      import('../../cli/checkpoint-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/checkpoint/checkpoint.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const results = await withCheckpoints(cluster, tools, ({kube}) =>
      verifyCheckpoints(kube, place ?? {namespace: flags.namespace}, tools),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, results}, () => verifyText(results, options))
    if (results.some(({ok}) => !ok)) process.exitCode = 11
  }
}
