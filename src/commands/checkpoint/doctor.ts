import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {podOf} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class CheckpointDoctor extends BaseCommand {
  static override summary = 'check whether checkpoint and restore work, on nodes or for a pod, and why not'
  static override description =
    'For nodes: the agent, the restore backends, criu check, and a round trip with a test process. For a pod: what CRIU cannot dump, what a checkpoint does not include, and why its last checkpoint failed. Exit code 8 when something prevents checkpoints.'
  static override examples = [
    {description: 'all nodes, and a live round trip', command: '<%= config.bin %> checkpoint doctor'},
    {description: 'one node', command: '<%= config.bin %> checkpoint doctor worker-1'},
    {description: 'a pod', command: '<%= config.bin %> checkpoint doctor default/web'},
  ]
  static override args = {
    target: Args.string({description: 'a node, or a pod as NAMESPACE/POD; default: all nodes'}),
  }
  static override flags = {
    probe: Flags.boolean({
      description: 'checkpoint and restore a test process; --no-probe skips that',
      env: 'CLOUDER_PROBE',
      default: true,
      allowNo: true,
    }),
    ...clusterFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointDoctor)
    const {target} = args
    const isPod = target?.includes('/') === true
    const about = isPod ? {pod: podOf(target)} : target === undefined ? {} : {node: target}
    const [{doctorText}, {resolveClusterName}, {withCheckpointNodes}, {examineCheckpoints}] =
      await Promise.all([
        import('../../cli/checkpoint-doctor-results.ts'),
        import('../../workflows/session/clusters.ts'),
        import('../../workflows/checkpoint/cluster.ts'),
        import('../../workflows/checkpoint/doctor.ts'),
      ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const result = await withCheckpointNodes(cluster, tools, (opened) =>
      examineCheckpoints(opened, {...about, probe: flags.probe}, tools),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, ...result}, () => doctorText(cluster, result, options))
    if (!result.healthy) process.exitCode = 8
  }
}
