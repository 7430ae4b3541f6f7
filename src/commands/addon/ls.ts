import {BaseCommand} from '../../cli/base-command.ts'
import {clusterFlag} from '../../cli/flags.ts'

export default class AddonLs extends BaseCommand {
  static override summary = 'list addons: available, installed, and with an upgrade'
  static override description =
    'Every addon of the catalogue with the profile that contains it, the version that the cluster has, and why it cannot be installed there.'
  static override examples = [
    {description: 'the addons of a cluster', command: '<%= config.bin %> addon ls --cluster demo'},
  ]
  static override flags = {...clusterFlag}

  async run(): Promise<void> {
    const {flags} = await this.parse(AddonLs)
    const [{addonsText}, {resolveClusterName}, {withAddons}, {listAddons}] = await Promise.all([
      import('../../cli/addon-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/addon/cluster.ts'),
      import('../../workflows/addon/list.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    const result = await withAddons(cluster, tools, listAddons)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => addonsText(result, options))
  }
}
