import {BaseCommand} from '../cli/base-command.ts'
import {clusterFlag} from '../cli/flags.ts'
import {specFlags} from '../cli/spec-flags.ts'

export default class Cost extends BaseCommand {
  static override summary = 'estimate the monthly cost of a cluster'
  static override description =
    'For a recorded cluster, or for one described in a file. Prices come from AWS or Azure if they can be reached, otherwise from the list that ships with clouder; their date is shown.'
  static override examples = [
    {description: 'of a running cluster', command: '<%= config.bin %> cost --cluster prod'},
    {
      description: 'of a cluster described in a file',
      command: '<%= config.bin %> cost --config cluster.yaml',
    },
  ]
  static override flags = {...clusterFlag, ...specFlags}

  async run(): Promise<void> {
    const {flags} = await this.parse(Cost)
    const [{specFromFlags}, {costText}, {costOf}] = await Promise.all([
      import('../cli/spec-flags.ts'),
      import('../cli/cost-results.ts'),
      import('../workflows/cost/cost.ts'),
    ])
    const tools = await this.tools()
    const spec = await specFromFlags(flags.cluster, flags, tools.store, tools.contexts)
    const cost = await costOf(spec, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(cost, () => costText(cost, options))
  }
}
