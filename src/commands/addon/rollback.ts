import {Flags} from '@oclif/core'
import {addonArgument, addonOf} from '../../cli/addon-flags.ts'
import {BaseCommand} from '../../cli/base-command.ts'
import {clusterFlag, yesFlag} from '../../cli/flags.ts'

export default class AddonRollback extends BaseCommand {
  static override summary = 'apply an earlier revision of an addon again'
  static override description =
    'The revision before the newest one, or the one that is named, with its parameters; waits until it is ready. The next init or upgrade applies the version of the catalogue again.'
  static override examples = [
    {description: 'the revision before', command: '<%= config.bin %> addon rollback cert-manager'},
    {description: 'a certain one', command: '<%= config.bin %> addon rollback cert-manager --revision 2'},
  ]
  static override args = addonArgument
  static override flags = {
    revision: Flags.integer({
      description: 'number of the revision; default: the one before',
      env: 'CLOUDER_REVISION',
      helpValue: 'N',
      min: 1,
    }),
    ...yesFlag,
    ...clusterFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AddonRollback)
    const addon = addonOf(args.addon)
    const [{resolveClusterName}, {rollbackAddon}] = await Promise.all([
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/addon/rollback.ts'),
    ])
    const tools = await this.tools()
    const cluster = await resolveClusterName(flags.cluster, tools)
    this.logTo(cluster)
    const to = flags.revision === undefined ? 'the revision before' : `revision ${flags.revision}`
    await this.ask({
      text: `roll ${addon} of ${cluster} back to ${to}?`,
      declined: 'nothing was changed',
      yes: flags.yes,
    })
    const result = await rollbackAddon(cluster, addon, flags.revision, tools)
    const {version, revision} = result.revision
    await this.show(result, () => `${cluster}: ${addon} is ${version} again, as revision ${revision}`)
  }
}
