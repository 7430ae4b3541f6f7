import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'

export default class CtxSync extends BaseCommand {
  static override summary = 'make contexts of the accounts that are configured here'
  static override description =
    'Looks at the profiles of the AWS configuration and the subscriptions that Azure shows you, and asks each who you are. What a context says already stays; none is removed.'
  static override examples = [
    {description: 'after aws sso login or az login', command: '<%= config.bin %> ctx sync'},
  ]
  static override flags = yesFlag

  async run(): Promise<void> {
    await this.parse(CtxSync)
    const [{syncText}, {syncContexts}] = await Promise.all([
      import('../../cli/cloud-results.ts'),
      import('../../infrastructure/contexts/sync.ts'),
    ])
    const tools = await this.tools()
    const contexts = await syncContexts(await tools.findAccounts(), tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({contexts}, () => syncText(contexts, options))
  }
}
