import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument, yesFlag} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class InfraDestroy extends BaseCommand {
  static override summary = 'remove what Terraform created for a cluster'
  static override description =
    'Only what is in the Terraform state. kubeadm terminate also removes what controllers in the cluster created, and checks that nothing is left.'
  static override examples = [
    {description: 'after confirmation', command: '<%= config.bin %> infra destroy prod'},
    {description: 'what would be deleted', command: '<%= config.bin %> infra plan prod --destroy'},
  ]
  static override args = nameArgument
  static override flags = {...specFlags, ...yesFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(InfraDestroy)
    const [{questionFor}, {specFromFlags}, {infraDestroyText}, {destroyInfra}] = await Promise.all([
      import('../../cli/run-init.ts'),
      import('../../cli/spec-flags.ts'),
      import('../../cli/infra-results.ts'),
      import('../../workflows/infra/infra.ts'),
    ])
    const tools = await this.tools()
    const spec = await specFromFlags(args.name, flags, tools.store, tools.contexts)
    this.logTo(spec.name)
    const agree = async (changes: Parameters<typeof questionFor>[1]) => {
      const text = questionFor(spec, changes)
      if (text !== undefined) await this.ask({text, declined: 'nothing was removed', yes: flags.yes})
    }
    const result = await destroyInfra(spec, agree, tools)
    await this.show(result, () => infraDestroyText(result))
  }
}
