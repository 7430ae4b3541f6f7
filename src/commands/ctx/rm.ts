import {BaseCommand} from '../../cli/base-command.ts'
import {yesFlag} from '../../cli/flags.ts'
import {contextArgument} from '../../cli/ctx-flags.ts'
import {ConfigError} from '../../base/errors.ts'

export default class CtxRm extends BaseCommand {
  static override summary = 'delete a context'
  static override description = 'Its account and clusters are not touched.'
  static override examples = [
    {description: 'delete the context dev', command: '<%= config.bin %> ctx rm dev'},
  ]
  static override args = contextArgument
  static override flags = yesFlag

  async run(): Promise<void> {
    const {args} = await this.parse(CtxRm)
    const {name} = args
    if (name === undefined) {
      throw new ConfigError('FLAG_MISSING', 'no context is named', {suggestions: ['clouder ctx ls']})
    }
    await (await this.tools()).contexts.remove(name)
    await this.show({removed: name}, () => `context ${name} deleted`)
  }
}
