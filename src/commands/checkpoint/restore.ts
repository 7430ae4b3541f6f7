import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {checkpointArgument, placeOf, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class CheckpointRestore extends BaseCommand {
  static override summary = 'make a pod that goes on from a checkpoint'
  static override description =
    'The pod of the checkpoint, with its memory, on any node that is alike. Refused when the processes may do more than the pod to be made.'
  static override examples = [
    {
      description: 'under another name, on a node',
      command: '<%= config.bin %> checkpoint restore default/web-20261121-091402 --as web-2 --to worker-2',
    },
  ]
  static override args = checkpointArgument
  static override flags = {
    to: Flags.string({
      description: 'node to go on on; default: the scheduler chooses among those that can',
      aliases: ['node'],
      env: 'CLOUDER_TO',
      helpValue: 'NODE',
    }),
    as: Flags.string({
      description: 'name of the pod to make; default: as it was called',
      env: 'CLOUDER_AS',
      helpValue: 'NAME',
    }),
    backend: Flags.option({
      description: 'how; default: the best that the node offers',
      env: 'CLOUDER_BACKEND',
      options: ['native', 'handler', 'create-image'] as const,
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
