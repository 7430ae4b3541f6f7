import {addonArgument} from '../../cli/addon-flags.ts'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, clusterFlag} from '../../cli/flags.ts'

export default class AddonDiff extends BaseCommand {
  static override summary = 'show what differs from what addons should be, field by field'
  static override description =
    'Compares by a dry run on the API server: manual changes with who made them, and what an upgrade would change. Changes nothing.'
  static override examples = [
    {description: 'all addons', command: '<%= config.bin %> addon diff --cluster demo'},
    {description: 'one addon', command: '<%= config.bin %> addon diff cni'},
  ]
  static override args = addonArgument
  static override flags = {...bundleFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AddonDiff)
    const [{addonDiffText}, {resolveClusterName}, {diffAddons}] = await Promise.all([
      import('../../cli/addon-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/addon/diff.ts'),
    ])
    const tools = await this.tools({bundleDir: flags.bundle})
    const cluster = await resolveClusterName(flags.cluster, tools)
    const result = await diffAddons(cluster, args.addon, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => addonDiffText(result, options))
  }
}
