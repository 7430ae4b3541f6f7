import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {environmentFlag, stackFileArgument, targetFlags, targetOf} from '../../cli/stack-flags.ts'

export default class StackApply extends BaseCommand {
  static override summary =
    'install or change the services of a stack, in the order in which they need each other'
  static override description =
    'Shows the plan, asks for confirmation, and applies it. Independent services are applied at the same time. A service whose gate fails is rolled back, and what needs it is not begun. A run that was killed is continued by the next one.'
  static override examples = [
    {description: 'plan, question, apply', command: '<%= config.bin %> stack apply stack.yaml'},
    {
      description: 'in a pipeline, to any cluster that your kubeconfig reaches',
      command:
        '<%= config.bin %> stack apply stack.yaml --environment prod --kube-context prod-eu --yes --json',
    },
  ]
  static override args = stackFileArgument
  static override flags = {...environmentFlag, ...targetFlags, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(StackApply)
    const [{stackPlanText, stackQuestion, stackResultText}, {applyStackFile, withStackCluster}] =
      await Promise.all([import('../../cli/stack-results.ts'), import('../../workflows/stack/stack.ts')])
    const tools = await this.tools()
    const options = {colours: this.colours, columns: this.terminal.columns}
    const result = await withStackCluster(targetOf(flags), tools, ({name, kube}) =>
      applyStackFile(
        {file: args.file, environment: flags.environment},
        async (plan) => {
          const text = stackQuestion(plan, name)
          if (text === undefined) return
          if (!flags.yes) await this.preview(stackPlanText(plan, options))
          await this.ask({text, declined: 'nothing was changed', yes: flags.yes})
        },
        kube,
        tools,
      ),
    )
    await this.show(result, () => stackResultText(result, options))
  }
}
