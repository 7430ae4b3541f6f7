import {resolve} from 'node:path'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument} from '../../cli/flags.ts'
import {markdownFlag, showPlan} from '../../cli/infra-plan.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class InfraPlan extends BaseCommand {
  static override summary = 'show what apply would change in the cloud, changing nothing'
  static override description =
    'Every resource that is made, changed, replaced or removed, and why. Exits with 0 when there is nothing to do, with 2 when there is.'
  static override examples = [
    {description: 'what is to do', command: '<%= config.bin %> infra plan prod'},
    {
      description: 'for a pull request, and to be applied exactly as it is',
      command: '<%= config.bin %> infra plan --config cluster.yaml --save plan.tfplan --markdown',
    },
    {
      description: 'one control plane, where all of them would stop at once',
      command: '<%= config.bin %> infra plan prod --only cp-1 --save cp-1.tfplan',
    },
  ]
  static override args = nameArgument
  static override flags = {
    ...specFlags,
    ...markdownFlag,
    save: Flags.string({
      description: 'save the plan to this file, for apply --plan',
      env: 'CLOUDER_INFRA_SAVE',
      helpValue: 'FILE',
    }),
    only: Flags.string({
      description: 'plan this machine alone, with what it needs; may be repeated',
      env: 'CLOUDER_INFRA_ONLY',
      exclusive: ['destroy'],
      helpValue: 'NODE',
      multiple: true,
    }),
    destroy: Flags.boolean({description: 'plan the removal of everything', env: 'CLOUDER_INFRA_DESTROY'}),
  }

  async run(): Promise<void> {
    const {args, flags} = await this.parse(InfraPlan)
    await showPlan(this, args.name, flags, {
      goal: flags.destroy ? 'destroy' : 'apply',
      ...(flags.save === undefined ? {} : {saveTo: resolve(flags.save)}),
      ...(flags.only === undefined ? {} : {only: flags.only}),
    })
  }
}
