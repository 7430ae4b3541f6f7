import {BaseCommand} from '../../cli/base-command.ts'
import {namespaceFlag} from '../../cli/checkpoint-flags.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class RuntimeLs extends BaseCommand {
  static override summary = 'list runtimes'
  static override examples = [{description: 'all container hosts', command: '<%= config.bin %> runtime ls'}]
  static override flags = {...namespaceFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {flags} = await this.parse(RuntimeLs)
    const [{runtimesText}, {resolveClusterName}, {withCheckpoints}, {listRuntimes}] = await Promise.all([
      import('../../cli/runtime-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/checkpoint/cluster.ts'),
      import('../../workflows/runtime/runtime.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const runtimes = await withCheckpoints(cluster, tools, ({kube}) => listRuntimes(kube, flags.namespace))
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({cluster, runtimes}, () => runtimesText(runtimes, options))
  }
}
