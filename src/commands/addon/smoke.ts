import {Args} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {bundleFlag, clusterFlag, listOf, yesFlag} from '../../cli/flags.ts'

export default class AddonSmoke extends BaseCommand {
  static override summary = 'test that addons do their work'
  static override description =
    'Each addon proves it in a namespace of its own, which is deleted afterwards: a claim is written, a certificate issued, a metric queried. Exit code 8 when a test fails.'
  static override examples = [
    {description: 'all that are installed', command: '<%= config.bin %> addon smoke --cluster demo'},
    {description: 'some', command: '<%= config.bin %> addon smoke network-policies,metrics-server'},
  ]
  static override args = {
    addons: Args.string({description: 'ids of addons, separated by commas; default: all that are installed'}),
  }
  static override flags = {...bundleFlag, ...yesFlag, ...clusterFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(AddonSmoke)
    const [{smokeText}, {resolveClusterName}, {smokeAddons}] = await Promise.all([
      import('../../cli/results.ts'),
      import('../../workflows/session/clusters.ts'),
      import('../../workflows/addon/smoke.ts'),
    ])
    const tools = await this.tools({bundleDir: flags.bundle})
    const cluster = await resolveClusterName(flags.cluster, tools)
    this.logTo(cluster)
    const result = await smokeAddons(cluster, listOf(args.addons), tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => smokeText(result, options))
    if (!result.passed) process.exitCode = 8
  }
}
