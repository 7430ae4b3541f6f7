import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {stackArgument, targetFlags, targetOf} from '../../cli/stack-flags.ts'

export default class StackRollback extends BaseCommand {
  static override summary = 'apply an earlier revision of a stack again'
  static override description =
    'With the same order and gates as an apply, and as a new revision. Needs no files. Values of Secrets are those that the cluster has now.'
  static override examples = [
    {description: 'to the revision before', command: '<%= config.bin %> stack rollback shop'},
    {
      description: 'to a revision of stack status',
      command: '<%= config.bin %> stack rollback shop --revision 3',
    },
  ]
  static override args = stackArgument
  static override flags = {
    revision: Flags.integer({
      description: 'number of the revision; default: the one deployed before the newest',
      env: 'CLOUDER_REVISION',
      min: 1,
    }),
    ...targetFlags,
    ...yesFlag,
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(StackRollback)
    const [{stackPlanText, stackQuestion, stackResultText}, {rollbackTo, stackNameOf, withStackCluster}] =
      await Promise.all([import('../../cli/stack-results.ts'), import('../../workflows/stack/stack.ts')])
    const tools = await this.tools()
    const options = {colours: this.colours, columns: this.terminal.columns}
    const stack = await stackNameOf(args.stack)
    const result = await withStackCluster(targetOf(flags), tools, ({name, kube}) =>
      rollbackTo(
        {stack, revision: flags.revision},
        async (plan, revision) => {
          const text = stackQuestion(plan, name)
          if (text === undefined) return
          if (!flags.yes) await this.preview(stackPlanText(plan, options))
          await this.ask({
            text: `Revision ${revision}: ${text}`,
            declined: 'nothing was changed',
            yes: flags.yes,
          })
        },
        kube,
        tools,
      ),
    )
    await this.show(result, () => stackResultText(result, options))
  }
}
