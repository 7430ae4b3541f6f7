import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, podArgument, storeFlag, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class CheckpointMigrate extends BaseCommand {
  static override summary = 'move a running pod to another node, memory and all'
  static override description =
    'Checkpoint, restore under the same name on the other node, verify; the source is deleted only when the checkpoint is verified and the target can take it, and goes on when anything fails.'
  static override examples = [
    {description: 'to a node', command: '<%= config.bin %> checkpoint migrate default/web --to worker-2'},
    {description: 'away from where it is', command: '<%= config.bin %> checkpoint migrate default/web'},
  ]
  static override args = podArgument
  static override flags = {
    to: Flags.string({
      description: 'node to go on on; default: the scheduler chooses among those that can',
      env: 'CLOUDER_TO',
      helpValue: 'NODE',
    }),
    backend: Flags.option({
      description: 'how; default: handler, by which a move that fails is undone too',
      env: 'CLOUDER_BACKEND',
      options: ['handler', 'create-image'] as const,
    })(),
    ...storeFlag,
    ...waitFlag,
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointMigrate)
    const {namespace, name: pod} = placeOf(args.pod, 'pod')
    const [{migrationText}, {resolveClusterName}, {withCheckpoints}, {migratePod}] = await Promise.all([
      import('../../cli/checkpoint-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/checkpoint/move.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const migration = await withCheckpoints(cluster, tools, ({kube}) =>
      migratePod(
        kube,
        {
          namespace,
          pod,
          store: flags.store,
          wait: flags.wait,
          ...(flags.to === undefined ? {} : {node: flags.to}),
          ...(flags.backend === undefined ? {} : {backend: flags.backend}),
        },
        tools,
      ),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, migration}, () => migrationText(migration, options))
  }
}
