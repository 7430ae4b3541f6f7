import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {checkpointArgument, placeOf, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class CheckpointRestore extends BaseCommand {
  static override summary = 'restore a pod from a checkpoint'
  static override description =
    'Creates the pod of the checkpoint, with its memory, on any compatible node. Refused when the processes have more privileges than the new pod.'
  static override examples = [
    {
      description: 'under another name, on a given node',
      command: '<%= config.bin %> checkpoint restore default/web-20261121-091402 --as web-2 --to worker-2',
    },
  ]
  static override args = checkpointArgument
  static override flags = {
    to: Flags.string({
      description: 'target node; default: the scheduler chooses among the compatible ones',
      aliases: ['node'],
      env: 'CLOUDER_TO',
      helpValue: 'NODE',
    }),
    as: Flags.string({
      description: 'name of the new pod; default: the name of the original',
      env: 'CLOUDER_AS',
      helpValue: 'NAME',
    }),
    backend: Flags.option({
      description: 'restore backend; default: the best one of the node',
      env: 'CLOUDER_BACKEND',
      options: ['Native', 'Handler', 'CreateImage'] as const,
    })(),
    ...waitFlag,
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointRestore)
    const place = placeOf(args.checkpoint, 'checkpoint')
    const [{restoreText}, {resolveClusterName}, {withCheckpoints}, {restoreCheckpoint}] = await Promise.all([
      import('../../cli/checkpoint-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/checkpoint/move.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const restore = await withCheckpoints(cluster, tools, ({kube}) =>
      restoreCheckpoint(
        kube,
        {
          ...place,
          wait: flags.wait,
          ...(flags.to === undefined ? {} : {node: flags.to}),
          ...(flags.as === undefined ? {} : {as: flags.as}),
          ...(flags.backend === undefined ? {} : {backend: flags.backend}),
        },
        tools,
      ),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, restore}, () => restoreText(restore, options))
  }
}
