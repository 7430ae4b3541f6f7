import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, runtimeArgument, storeFlag, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'
import {splitAtDashes} from '../../cli/passthrough.ts'
import {runtimeFlags, runtimeOf} from '../../cli/runtime-flags.ts'

export default class RuntimeCreate extends BaseCommand {
  static override summary =
    'create a runtime: a long-running container that can be paused, and resumed on another node'
  static override description =
    'Arguments after -- are its command. The home volume is mounted at /home. Secrets are mounted as files in memory below /run/secrets and created again at each resume, so that no checkpoint contains them.'
  static override usage = 'runtime create NAMESPACE/NAME --image IMAGE [FLAG…] [-- COMMAND…]'
  static override examples = [
    {
      description: 'a notebook with a home volume',
      command:
        '<%= config.bin %> runtime create team/anna --image registry.example.com/notebook:1 --cpu 2 --memory 4Gi --home 10Gi --secret anna-token --port 8888',
    },
  ]
  static override strict = false
  static override args = runtimeArgument
  static override flags = {...runtimeFlags, ...storeFlag, ...waitFlag, ...clusterFlag, ...yesFlag}

  async run(): Promise<void> {
    const {own, rest} = splitAtDashes(this.argv)
    const {args, flags} = await this.parse(RuntimeCreate, own)
    const place = placeOf(args.runtime, 'runtime')
    const spec = runtimeOf(flags, rest)
    const [{runtimeText}, {resolveClusterName}, {withCheckpoints}, {createRuntime}] = await Promise.all([
      import('../../cli/runtime-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/runtime.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const runtime = await withCheckpoints(cluster, tools, ({kube}) =>
      createRuntime(kube, place, spec, flags, tools),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, runtime}, () => runtimeText(runtime, options))
  }
}
