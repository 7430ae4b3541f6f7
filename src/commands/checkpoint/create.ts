import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {podArgument, podOf, storeFlag, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class CheckpointCreate extends BaseCommand {
  static override summary = 'checkpoint a running pod: its memory, encrypted, in a store'
  static override description =
    'All containers of the pod in order, or one named as NAMESPACE/POD/CONTAINER. The pod keeps running, unless --stop is given. What is stored is verified.'
  static override examples = [
    {description: 'a pod that keeps running', command: '<%= config.bin %> checkpoint create default/web'},
    {
      description: 'into an object store, and delete the pod once the checkpoint is verified',
      command: '<%= config.bin %> checkpoint create team/train-0 --store s3 --stop',
    },
  ]
  static override args = podArgument
  static override flags = {
    'leave-running': Flags.boolean({
      description: 'the pod keeps running (default)',
      env: 'CLOUDER_LEAVE_RUNNING',
      exclusive: ['stop'],
    }),
    stop: Flags.boolean({
      description: 'delete the pod when the checkpoint is verified; it is frozen from the dump until then',
      env: 'CLOUDER_STOP',
    }),
    name: Flags.string({
      description: 'name of the checkpoint; default: pod and time',
      env: 'CLOUDER_CHECKPOINT_NAME',
      helpValue: 'NAME',
    }),
    'keep-archive': Flags.boolean({
      description:
        'keep the archive on the node, in /var/lib/clouder/archives: unencrypted memory, readable by root',
      env: 'CLOUDER_KEEP_ARCHIVE',
    }),
    ...storeFlag,
    ...waitFlag,
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointCreate)
    const target = podOf(args.pod)
    const [{checkpointText}, {resolveClusterName}, {withCheckpoints}, {createCheckpoint}] = await Promise.all(
      [
        import('../../cli/checkpoint-results.ts'),
        import('../../workflows/session/clusters.ts'),
        import('../../workflows/checkpoint/cluster.ts'),
        import('../../workflows/checkpoint/checkpoint.ts'),
      ],
    )
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const checkpoint = await withCheckpoints(cluster, tools, ({kube}) =>
      createCheckpoint(
        kube,
        {
          ...target,
          store: flags.store,
          podPolicy: flags.stop ? 'Delete' : 'Resume',
          keepArchive: flags['keep-archive'],
          wait: flags.wait,
          ...(flags.name === undefined ? {} : {name: flags.name}),
        },
        tools,
      ),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, checkpoint}, () => checkpointText(checkpoint, options))
  }
}
