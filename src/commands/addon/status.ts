import {Flags} from '@oclif/core'
import {addonArgument} from '../../cli/addon-flags.ts'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, clusterFlag} from '../../cli/flags.ts'

export default class AddonStatus extends BaseCommand {
  static override summary = 'show whether addons are ready, and why not'
  static override description =
    'Each installed addon with its workloads; of what is not ready, the events, the last log lines and the next command. Exit code 8 when something is not ready.'
  static override examples = [
    {description: 'all addons', command: '<%= config.bin %> addon status --cluster demo'},
    {description: 'follow one until it is ready', command: '<%= config.bin %> addon status cni --watch'},
    {description: 'test them too', command: '<%= config.bin %> addon status --smoke'},
  ]
  static override args = addonArgument
  static override flags = {
    watch: Flags.boolean({
      char: 'w',
      description: 'show each change, until everything is ready',
      env: 'CLOUDER_WATCH',
    }),
    smoke: Flags.boolean({
      description: 'also test that each addon works, as `addon smoke` does',
      env: 'CLOUDER_SMOKE',
    }),
    ...bundleFlag,
    ...clusterFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AddonStatus)
    const [{addonStatusText}, {smokeText}, {resolveClusterName}, {withAddons}, {watchAddons}, {smokeAddons}] =
      await Promise.all([
        import('../../cli/addon-results.ts'),
        import('../../cli/results.ts'),
        import('../../workflows/session/clusters.ts'),
        import('../../workflows/addon/cluster.ts'),
        import('../../workflows/addon/status.ts'),
        import('../../workflows/addon/smoke.ts'),
      ])
    const tools = await this.tools({bundleDir: flags.bundle})
    const cluster = await resolveClusterName(flags.cluster, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    const status = await withAddons(cluster, tools, (opened) =>
      watchAddons(opened, {id: args.addon, follow: flags.watch}, tools, async (seen) => {
        await this.show(seen, () => addonStatusText(seen, options))
      }),
    )
    if (!status.isReady) process.exitCode = 8
    if (!flags.smoke) return
    const smoke = await smokeAddons(cluster, args.addon === undefined ? [] : [args.addon], tools)
    await this.show(smoke, () => smokeText(smoke, options))
    if (!smoke.passed) process.exitCode = 8
  }
}
