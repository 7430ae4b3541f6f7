import {BaseCommand} from '../cli/base-command.ts'
import {clusterFlag} from '../cli/flags.ts'
import {specFlags} from '../cli/spec-flags.ts'

export default class Cost extends BaseCommand {
  static override summary = 'estimate what a month of a cluster costs'
  static override description =
    'Of a cluster that is remembered, or of one that a file describes. Prices are those that AWS or Azure tell, where they can be reached, else those that ship with clouder; their date is told.'
  static override examples = [
    {description: 'of a cluster that runs', command: '<%= config.bin %> cost --cluster prod'},
    {description: 'of one that is only described', command: '<%= config.bin %> cost --config cluster.yaml'},
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
