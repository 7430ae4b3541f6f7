import {Flags} from '@oclif/core'
import {addonArgument, confirmPlans} from '../../cli/addon-flags.ts'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class AddonUpgrade extends BaseCommand {
  static override summary = 'bring installed addons to the version of the catalogue'
  static override description =
    'One addon, or all that are installed. Manual changes are corrected. An addon that does not become ready is rolled back to the revision that was running.'
  static override examples = [
    {description: 'all that are installed', command: '<%= config.bin %> addon upgrade --cluster demo'},
    {
      description: 'one, only showing what would change',
      command: '<%= config.bin %> addon upgrade cni --dry-run',
    },
  ]
  static override args = addonArgument
  static override flags = {
    'dry-run': Flags.boolean({
      description: 'show what would change, without changing anything',
      env: 'CLOUDER_DRY_RUN',
    }),
    ...bundleFlag,
    ...yesFlag,
    ...clusterFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AddonUpgrade)
    const [{addonChangeText}, {resolveClusterName}, {upgradeAddons}] = await Promise.all([
      import('../../cli/addon-results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/addon/install.ts'),
    ])
    const tools = await this.tools({bundleDir: flags.bundle})
    const cluster = await resolveClusterName(flags.cluster, tools)
    this.logTo(cluster)
    const change = {
      dryRun: flags['dry-run'],
      confirm: (plans: Parameters<typeof confirmPlans>[1]) => confirmPlans(this, plans, flags.yes),
    }
    const result = await upgradeAddons(cluster, args.addon, change, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => addonChangeText(result, options))
  }
}
