import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {stackArgument, targetFlags, targetOf} from '../../cli/stack-flags.ts'

export default class StackDestroy extends BaseCommand {
  static override summary = 'remove all services of a stack, each after those that need it'
  static override description =
    'Then the namespaces that the stack created, where nothing of others is in them, and what the cluster keeps of the stack.'
  static override examples = [
    {description: 'after confirmation', command: '<%= config.bin %> stack destroy shop'},
  ]
  static override args = stackArgument
  static override flags = {...targetFlags, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(StackDestroy)
    const [{stackDestroyText}, {destroyWhole, stackNameOf, withStackCluster}] = await Promise.all([
      import('../../cli/stack-results.ts'),
      import('../../workflows/stack/stack.ts'),
    ])
    const tools = await this.tools()
    const stack = await stackNameOf(args.stack)
    const result = await withStackCluster(targetOf(flags), tools, ({name, kube}) =>
      destroyWhole(
        stack,
        async (services) => {
          const text = `Remove stack ${stack} from ${name} with its ${services.length} services and their data? This cannot be undone.`
          await this.ask({text, declined: 'nothing was removed', yes: flags.yes})
        },
        kube,
        tools,
      ),
    )
    await this.show(result, () => stackDestroyText(result))
  }
}
