import {BaseCommand} from '../../cli/base-command.ts'
import {placeOf, runtimeArgument} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class RuntimeDelete extends BaseCommand {
  static override summary = 'delete a runtime with its memory and its home volume'
  static override examples = [
    {description: 'one', command: '<%= config.bin %> runtime delete team/anna --yes'},
  ]
  static override args = runtimeArgument
  static override flags = {...yesFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(RuntimeDelete)
    const place = placeOf(args.runtime, 'runtime')
    const [{resolveClusterName}, {withCheckpoints}, {deleteRuntime, readRuntime}] = await Promise.all([
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/runtime.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const runtime = await withCheckpoints(cluster, tools, async ({kube}) => {
      await readRuntime(kube, place)
      await this.ask({
        text: `delete runtime ${place.namespace}/${place.name}, its memory and its home volume? This cannot be undone.`,
        declined: 'nothing was deleted',
        yes: flags.yes,
      })
      return deleteRuntime(kube, place)
    })
    await this.show({cluster, runtime}, () => `runtime ${place.namespace}/${place.name} deleted`)
  }
}
