import {BaseCommand} from '../../cli/base-command.ts'

export default class CtxLs extends BaseCommand {
  static override summary = 'list the contexts: accounts of clouds, and where in them'
  static override examples = [
    {description: 'all contexts; the current one has a star', command: '<%= config.bin %> ctx ls'},
  ]

  async run(): Promise<void> {
    await this.parse(CtxLs)
    const {contextsText} = await import('../../cli/cloud-results.ts')
    const contexts = await (await this.tools()).contexts.list()
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show({contexts}, () => contextsText(contexts, options))
  }
}
