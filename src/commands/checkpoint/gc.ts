import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {namespaceFlag, retentionFlags, retentionOf} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, runFlags, yesFlag} from '../../cli/flags.ts'

export default class CheckpointGc extends BaseCommand {
  static override summary = 'delete checkpoints that retention does not keep'
  static override description =
    'By count, age and size, as set in the stores or by these flags. A checkpoint in use is kept. The cluster then removes from the store what no other checkpoint needs.'
  static override examples = [
    {description: 'what would be deleted', command: '<%= config.bin %> checkpoint gc --dry-run'},
    {
      description: 'keep three of each pod, none older than a week',
      command: '<%= config.bin %> checkpoint gc --keep-last 3 --max-age 7d',
    },
  ]
  static override flags = {
    'dry-run': runFlags['dry-run'],
    ...retentionFlags,
    'max-bytes': Flags.integer({
      description: 'stored bytes per namespace and store; the oldest are deleted first',
      env: 'CLOUDER_MAX_BYTES',
      min: 1,
    }),
    ...namespaceFlag,
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {flags} = await this.parse(CheckpointGc)
    const retention = retentionOf(flags)
    const [{gcText}, {resolveClusterName}, {withCheckpoints}, {collectCheckpoints}] = await Promise.all([
      import('../../cli/checkpoint-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/checkpoint/gc.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const result = await withCheckpoints(cluster, tools, ({kube}) =>
      collectCheckpoints(
        kube,
        {
          dryRun: flags['dry-run'],
          ...(retention === undefined ? {} : {retention}),
          ...(flags.namespace === undefined ? {} : {namespace: flags.namespace}),
        },
        tools,
      ),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, ...result}, () => gcText(result, tools.now(), options))
  }
}
