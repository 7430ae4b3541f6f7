import {Args, Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {durationMs, needName} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class NodeDrain extends BaseCommand {
  static override summary = 'drain a node: move pods with their memory, evict the rest'
  static override description =
    'Cordons the node. With --checkpoint, pods that a policy selects with migrateOnDrain are moved to other nodes with their memory; one that cannot be moved keeps running. All others are evicted, as their disruption budgets allow; pods of DaemonSets stay. Exit code 8 when a pod is left that should have been moved or evicted.'
  static override examples = [
    {
      description: 'move pods with their memory',
      command: '<%= config.bin %> node drain worker-1 --checkpoint',
    },
    {
      description: 'evict only, as kubectl drain does',
      command: '<%= config.bin %> node drain worker-1 --timeout 2m',
    },
  ]
  static override args = {node: Args.string({description: 'name of the node'})}
  static override flags = {
    checkpoint: Flags.boolean({
      description: 'move pods that a CheckpointPolicy selects, instead of evicting them',
      env: 'CLOUDER_CHECKPOINT',
    }),
    timeout: Flags.string({
      description: 'how long to wait for each pod',
      env: 'CLOUDER_TIMEOUT',
      default: '10m',
      helpValue: 'DURATION',
    }),
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(NodeDrain)
    const node = needName(args.node, 'node')
    const timeoutMs = durationMs(flags.timeout, 'timeout')
    const [{drainText}, {resolveClusterName}, {withCheckpoints}, {drainNode}] = await Promise.all([
      import('../../cli/checkpoint-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/cluster/drain.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const result = await withCheckpoints(
      cluster,
      tools,
      ({kube}) => drainNode(kube, {node, checkpoint: flags.checkpoint, timeoutMs}, tools),
      {withAddon: flags.checkpoint},
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, ...result}, () => drainText(result, options))
    if (!result.drained) process.exitCode = 8
  }
}
