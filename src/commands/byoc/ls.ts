import {BaseCommand} from '../../cli/base-command.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class ByocLs extends BaseCommand {
  static override summary = 'list container hosts, their capabilities, and when they last reported'
  static override examples = [{description: 'all container hosts', command: '<%= config.bin %> byoc ls'}]
  static override flags = {...clusterFlag}

  async run(): Promise<void> {
    const {flags} = await this.parse(ByocLs)
    const [{hostsText}, {resolveClusterName}, {withCheckpoints}, {listHosts}] = await Promise.all([
      import('../../cli/runtime-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/byoc.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const hosts = await withCheckpoints(cluster, tools, ({kube}) => listHosts(kube))
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, hosts}, () => hostsText(hosts, tools.now(), options))
  }
}
