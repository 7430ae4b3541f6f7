import {Flags} from '@oclif/core'
import {addonArgument, addonOf, confirmPlans, parametersOf} from '../../cli/addon-flags.ts'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class AddonInstall extends BaseCommand {
  static override summary = 'install an addon with everything that it needs'
  static override description =
    'Loads its images onto all nodes, applies its objects and waits until it is ready. From then on `kubeadm init` without a file keeps it as well.'
  static override examples = [
    {description: 'with defaults', command: '<%= config.bin %> addon install cert-manager --cluster demo'},
    {
      description: 'with parameters; values are YAML',
      command: '<%= config.bin %> addon install metallb --set addresses=[192.0.2.10-192.0.2.20]',
    },
    {
      description: 'what it would change',
      command: '<%= config.bin %> addon install cert-manager --dry-run',
    },
  ]
  static override args = addonArgument
  static override flags = {
    set: Flags.string({
      description: 'parameter as KEY=VALUE; can be repeated',
      env: 'CLOUDER_SET',
      helpValue: 'KEY=VALUE',
      multiple: true,
      multipleNonGreedy: true,
    }),
    'dry-run': Flags.boolean({
      description: 'show what would change, without changing anything',
      env: 'CLOUDER_DRY_RUN',
    }),
    ...bundleFlag,
    ...yesFlag,
    ...clusterFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AddonInstall)
    const addon = addonOf(args.addon)
    const parameters = parametersOf(typeof flags.set === 'string' ? [flags.set] : (flags.set ?? []))
    const [{addonChangeText}, {resolveClusterName}, {installAddon}] = await Promise.all([
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
    const result = await installAddon(cluster, addon, parameters, change, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => addonChangeText(result, options))
  }
}
