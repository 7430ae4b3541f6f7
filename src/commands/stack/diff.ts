import {BaseCommand} from '../../cli/base-command.ts'
import {stackArgument, targetFlags, targetOf} from '../../cli/stack-flags.ts'

export default class StackDiff extends BaseCommand {
  static override summary = 'show how the cluster differs from what was applied last, and who changed it'
  static override description =
    'Needs no files: the cluster keeps what was applied. Exits with 0 when nothing differs, with 2 when something does. The next apply corrects it.'
  static override examples = [
    {description: 'for a nightly job', command: '<%= config.bin %> stack diff shop'},
    {description: 'for a program', command: '<%= config.bin %> stack diff shop --json'},
  ]
  static override args = stackArgument
  static override flags = targetFlags

  async run(): Promise<void> {
    const {args, flags} = await this.parse(StackDiff)
    const [{stackPlanText}, {stackDrift, stackNameOf, withStackCluster}] = await Promise.all([
      import('../../cli/stack-results.ts'),
      import('../../workflows/stack/stack.ts'),
    ])
    const tools = await this.tools()
    const stack = await stackNameOf(args.stack)
    const drift = await withStackCluster(targetOf(flags), tools, ({kube}) => stackDrift(stack, kube, tools))
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(drift, () => stackPlanText(drift, options, 'drift'))
    if (drift.hasChanges) process.exitCode = 2
  }
}
