import {Args} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {targetFlags, targetOf} from '../../cli/stack-flags.ts'

export default class StackStatus extends BaseCommand {
  static override summary = 'show the services of a stack, what is not ready, and its revisions'
  static override description =
    'Without a name, lists all stacks of the cluster. Exits with 2 when something is not ready.'
  static override examples = [
    {description: 'all stacks', command: '<%= config.bin %> stack status'},
    {description: 'one, service by service', command: '<%= config.bin %> stack status shop'},
  ]
  static override args = {
    stack: Args.string({description: 'name of the stack, or its file; default: all stacks'}),
  }
  static override flags = targetFlags

  async run(): Promise<void> {
    const {args, flags} = await this.parse(StackStatus)
    const [{stackListText, stackStatusText}, {allStacks, stackNameOf, stackStatus, withStackCluster}] =
      await Promise.all([import('../../cli/stack-results.ts'), import('../../workflows/stack/stack.ts')])
    const tools = await this.tools()
    const options = {colours: this.colours, columns: this.terminal.columns}
    const isReady = await withStackCluster(targetOf(flags), tools, async ({kube}) => {
      if (args.stack === undefined) {
        const stacks = await allStacks(kube)
        await this.show({stacks}, () => stackListText(stacks, options))
        return stacks.every((stack) => stack.isReady)
      }
      const status = await stackStatus(await stackNameOf(args.stack), kube)
      await this.show(status, () => stackStatusText(status, options))
      return status.isReady
    })
    if (!isReady) process.exitCode = 2
  }
}
