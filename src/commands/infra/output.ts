import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'
import {StateError} from '../../base/errors.ts'

export default class InfraOutput extends BaseCommand {
  static override summary = 'print the Terraform outputs of a cluster: machines, endpoint, storage'
  static override description = 'The outputs of the last apply. They contain no secrets.'
  static override examples = [
    {description: 'everything', command: '<%= config.bin %> infra output prod'},
    {description: 'as JSON', command: '<%= config.bin %> infra output prod --json'},
  ]
  static override args = nameArgument
  static override flags = specFlags

  async run(): Promise<void> {
    const {args, flags} = await this.parse(InfraOutput)
    const tools = await this.tools()
    const [{specFromFlags}, {infraOutputs}] = await Promise.all([
      import('../../cli/spec-flags.ts'),
      import('../../workflows/infra/infra.ts'),
    ])
    const {name, ...rest} = await specFromFlags(args.name, flags, tools.store, tools.contexts)
    const outputs = await infraOutputs({name, ...rest}, tools)
    if (outputs === undefined)
      throw new StateError('CLUSTER_UNKNOWN', `nothing has been applied for ${name} yet`, {
        suggestions: [`clouder infra plan ${name}`, `clouder infra apply ${name}`],
      })
    await this.show({cluster: name, outputs}, () => JSON.stringify(outputs, undefined, 2))
  }
}
