import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'

export default class CtxSync extends BaseCommand {
  static override summary = 'create contexts from the accounts configured on this machine'
  static override description =
    'Reads the profiles of the AWS configuration and the Azure subscriptions you can access, and looks up the identity for each. Existing settings of a context are kept; no context is removed.'
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
