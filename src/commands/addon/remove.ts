import {addonArgument, addonOf} from '../../cli/addon-flags.ts'
import {BaseCommand} from '../../cli/base-command.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class AddonRemove extends BaseCommand {
  static override summary = 'remove an addon and all its objects'
  static override description =
    'Refused while another addon needs it, or objects in the cluster use it. From then on `kubeadm init` without a file does not install it.'
  static override examples = [
    {description: 'one', command: '<%= config.bin %> addon remove metallb --cluster demo'},
  ]
  static override args = addonArgument
  static override flags = {...yesFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AddonRemove)
    const addon = addonOf(args.addon)
    const [{resolveClusterName}, {removeAddon}] = await Promise.all([
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/addon/remove.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    this.logTo(cluster)
    const confirm = ({version, objects}: {version: string; objects: readonly unknown[]}): Promise<void> =>
      this.ask({
        text: `remove ${addon} ${version} with ${objects.length} objects from ${cluster}?`,
        declined: 'nothing was removed',
        yes: flags.yes,
      })
    const result = await removeAddon(cluster, addon, confirm, tools)
    await this.show(result, () => `${cluster}: ${addon} ${result.version} removed, ${result.objects} objects`)
  }
}
