import {BaseCommand} from '../../cli/base-command.ts'
import {environmentFlag, stackFileArgument, targetFlags, targetOf} from '../../cli/stack-flags.ts'

/** Something is to be done: the code that scripts wait for. */
const SOMETHING = 2

export default class StackPlan extends BaseCommand {
  static override summary = 'show what applying a stack would change, object by object'
  static override description =
    'Changes nothing. Of Secrets only the names of keys are shown. Exits with 0 when there is nothing to do, with 2 when there is.'
  static override examples = [
    {description: 'for the default cluster', command: '<%= config.bin %> stack plan stack.yaml'},
    {
      description: 'of an environment',
      command: '<%= config.bin %> stack plan stack.yaml --environment prod --cluster demo',
    },
  ]
  static override args = stackFileArgument
  static override flags = {...environmentFlag, ...targetFlags}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(StackPlan)
    const [{stackPlanText}, {planStackFile, withStackCluster}] = await Promise.all([
      import('../../cli/stack-results.ts'),
      import('../../workflows/stack/stack.ts'),
    ])
    const tools = await this.tools()
    const plan = await withStackCluster(targetOf(flags), tools, ({kube}) =>
      planStackFile({file: args.file, environment: flags.environment}, kube, tools),
    )
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(plan, () => stackPlanText(plan, options))
    if (plan.hasChanges) process.exitCode = SOMETHING
  }
}
