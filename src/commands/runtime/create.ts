import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, runtimeArgument, storeFlag, waitFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'
import {splitAtDashes} from '../../cli/passthrough.ts'
import {runtimeFlags, runtimeOf} from '../../cli/runtime-flags.ts'

export default class RuntimeCreate extends BaseCommand {
  static override summary = 'make a runtime: a long-running container that can be paused and resumed anywhere'
  static override description =
    'Words after -- are its command. A home volume is mounted at /home; Secrets are files in memory below /run/secrets, made anew at each resume, so that they are in no checkpoint.'
  static override usage = 'runtime create NAMESPACE/NAME --image IMAGE [FLAG…] [-- COMMAND…]'
  static override examples = [
    {
      description: 'a notebook with a home of its own',
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
