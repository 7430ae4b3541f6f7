import {BaseCommand} from '../../cli/base-command.ts'
import {contextArgument} from '../../cli/ctx-flags.ts'
import {StateError} from '../../base/errors.ts'

export default class CtxShow extends BaseCommand {
  static override summary = 'show a context; without a name, the current one'
  static override examples = [
    {description: 'the current one', command: '<%= config.bin %> ctx show'},
    {description: 'a context by name', command: '<%= config.bin %> ctx show prod --json'},
  ]
  static override args = contextArgument

  async run(): Promise<void> {
    const {args} = await this.parse(CtxShow)
    const {contextText} = await import('../../cli/cloud-results.ts')
    const found = await (await this.tools()).contexts.find(args.name)
    if (found === undefined) {
      throw new StateError('CONTEXT_UNKNOWN', 'there is no current context', {
        suggestions: ['clouder ctx ls', 'clouder ctx set NAME'],
      })
    }
    await this.show(found, () => contextText(found))
  }
}
