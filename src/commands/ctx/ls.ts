import {BaseCommand} from '../../cli/base-command.ts'

export default class CtxLs extends BaseCommand {
  static override summary = 'list the contexts: cloud accounts with a region or location'
  static override examples = [
    {description: 'all contexts; the current one is marked with a star', command: '<%= config.bin %> ctx ls'},
  ]

  async run(): Promise<void> {
    await this.parse(CtxLs)
    const {contextsText} = await import('../../cli/cloud-results.ts')
    const contexts = await (await this.tools()).contexts.list()
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({contexts}, () => contextsText(contexts, options))
  }
}
