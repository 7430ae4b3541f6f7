import {Args} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {needName} from '../../cli/checkpoint-flags.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class ByocDrain extends BaseCommand {
  static override summary = 'stop scheduling work to a container host'
  static override description =
    'What runs there keeps running. If the host is a node, clouder node drain HOST --checkpoint moves it. To schedule to the host again, register it again.'
  static override examples = [{description: 'one', command: '<%= config.bin %> byoc drain lab-1'}]
  static override args = {host: Args.string({description: 'name of the host'})}
  static override flags = {...clusterFlag, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(ByocDrain)
    const name = needName(args.host, 'host')
    const [{resolveClusterName}, {withCheckpoints}, {drainHost}] = await Promise.all([
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/byoc.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const host = await withCheckpoints(cluster, tools, ({kube}) => drainHost(kube, name))
    await this.show({cluster, host}, () => `nothing is scheduled to host ${name} any longer`)
  }
}
