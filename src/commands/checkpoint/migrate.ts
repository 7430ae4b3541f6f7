import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, podArgument, storeFlag, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class CheckpointMigrate extends BaseCommand {
  static override summary = 'move a running pod to another node, including its memory'
  static override description =
    'Checkpoints the pod, restores it under the same name on the other node, and verifies it. The source is deleted only when the checkpoint is verified and the target can run it; if anything fails, the source resumes.'
  static override examples = [
    {
      description: 'to a given node',
      command: '<%= config.bin %> checkpoint migrate default/web --to worker-2',
    },
    {description: 'to any other node', command: '<%= config.bin %> checkpoint migrate default/web'},
  ]
  static override args = podArgument
  static override flags = {
    to: Flags.string({
      description: 'target node; default: the scheduler chooses among the compatible ones',
      env: 'CLOUDER_TO',
      helpValue: 'NODE',
    }),
    backend: Flags.option({
      description: 'restore backend; default: Handler, with which a failed move is also rolled back',
      env: 'CLOUDER_BACKEND',
      options: ['Handler', 'CreateImage'] as const,
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
