import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, runtimeArgument, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class RuntimeResume extends BaseCommand {
  static override summary = 'resume a paused runtime on any compatible node'
  static override description =
    'Its processes continue with their memory. Secrets and the service account token are current ones.'
  static override examples = [{description: 'one', command: '<%= config.bin %> runtime resume team/anna'}]
  static override args = runtimeArgument
  static override flags = {...waitFlag, ...clusterFlag, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(RuntimeResume)
    const place = placeOf(args.runtime, 'runtime')
    const [{runtimeText}, {resolveClusterName}, {withCheckpoints}, {setRuntimeState}] = await Promise.all([
      import('../../cli/runtime-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/runtime.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const runtime = await withCheckpoints(cluster, tools, ({kube}) =>
      setRuntimeState(kube, place, 'Running', flags, tools),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, runtime}, () => runtimeText(runtime, options))
  }
}
