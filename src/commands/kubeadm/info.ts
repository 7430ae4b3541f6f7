import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument} from '../../cli/flags.ts'

export default class KubeadmInfo extends BaseCommand {
  static override summary = 'show a cluster: its record next to its actual state'
  static override examples = [
    {
      description: 'nodes, versions, and differences between record and cluster',
      command: '<%= config.bin %> kubeadm info demo',
    },
  ]
  static override args = nameArgument

  async run(): Promise<void> {
    const {args} = await this.parse(KubeadmInfo)
    const [{descriptionText}, {describeCluster, resolveClusterName}] = await Promise.all([
      import('../../cli/results.ts'),
      import('../../workflows/session/clusters.ts'),
    ])
    const tools = await this.tools()
    const cluster = await describeCluster(await resolveClusterName(args.name, tools), tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(cluster, () => descriptionText(cluster, options))
  }
}
