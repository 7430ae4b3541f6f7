import {Args} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf} from '../../cli/checkpoint-flags.ts'
import {policyFlags, policyOf} from '../../cli/checkpoint-policy.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class CheckpointSchedule extends BaseCommand {
  static override summary =
    'checkpoint pods by policy: on a schedule, when idle, before a drain, when a spot machine is reclaimed'
  static override description = 'Creates or changes a CheckpointPolicy. Without a name: lists them.'
  static override examples = [
    {
      description: 'every night, keeping three of each pod',
      command:
        "<%= config.bin %> checkpoint schedule team/nightly --selector app=train --cron '0 3 * * *' --keep-last 3",
    },
    {
      description: 'moved instead of evicted',
      command:
        '<%= config.bin %> checkpoint schedule team/keep --selector tier=stateful --on-drain --on-interruption',
    },
    {description: 'list all policies', command: '<%= config.bin %> checkpoint schedule'},
  ]
  static override args = {
    policy: Args.string({description: 'name of the policy, as NAMESPACE/NAME'}),
  }
  static override flags = {
    ...policyFlags,
    ...clusterFlag,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(CheckpointSchedule)
    const place = args.policy === undefined ? undefined : placeOf(args.policy, 'policy')
    const spec = place === undefined ? undefined : policyOf(flags)
    const [{policiesText}, {resolveClusterName}, {withCheckpoints}, {applyPolicy, listPolicies}] =
      await Promise.all([
        import('../../cli/checkpoint-results.ts'),
        import('../../workflows/session/clusters.ts'),
        import('../../workflows/checkpoint/cluster.ts'),
        import('../../workflows/checkpoint/move.ts'),
      ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const policies = await withCheckpoints(cluster, tools, async ({kube}) =>
      place === undefined || spec === undefined
        ? listPolicies(kube)
        : [await applyPolicy(kube, place, spec, tools.signal)],
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, policies}, () => policiesText(policies, options))
  }
}
