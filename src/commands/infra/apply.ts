import {resolve} from 'node:path'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument, yesFlag} from '../../cli/flags.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class InfraApply extends BaseCommand {
  static override summary = 'create or update the infrastructure of a cluster to match its specification'
  static override description =
    'Plans, asks for confirmation, and applies exactly what was shown; or applies a saved plan, and nothing else. Does the same as kubeadm create.'
  static override examples = [
    {description: 'plan, question, apply', command: '<%= config.bin %> infra apply prod'},
    {
      description: 'apply an approved plan',
      command: '<%= config.bin %> infra apply prod --plan plan.tfplan --yes',
    },
  ]
  static override args = nameArgument
  static override flags = {
    ...specFlags,
    ...yesFlag,
    plan: Flags.string({
      description: 'apply this plan, saved by infra plan --save',
      env: 'CLOUDER_INFRA_PLAN',
      helpValue: 'FILE',
    }),
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(InfraApply)
    if (flags.plan === undefined) {
      const {bringUp} = await import('../../cli/run-init.ts')
      await bringUp(this, 'create', args.name, flags)
      return
    }
    const [{questionFor}, {specFromFlags}, {infraApplyText}, {applyInfra}] = await Promise.all([
      import('../../cli/run-init.ts'),
      import('../../cli/spec-flags.ts'),
      import('../../cli/infra-results.ts'),
      import('../../workflows/infra/infra.ts'),
    ])
    const tools = await this.tools()
    const spec = await specFromFlags(args.name, flags, tools.store, tools.contexts)
    this.logTo(spec.name)
    const planFile = resolve(flags.plan)
    const agree = async (changes: Parameters<typeof questionFor>[1]) => {
      const text = questionFor(spec, changes)
      if (text !== undefined) await this.ask({text, declined: 'nothing was changed', yes: flags.yes})
    }
    const result = await applyInfra(spec, {planFile, agree}, tools)
    const options = {colours: this.colours, columns: this.terminal.columns}
    await this.show(result, () => infraApplyText(result, options))
  }
}
