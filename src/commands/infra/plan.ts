import {resolve} from 'node:path'
import {Flags} from '@oclif/core'
import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument} from '../../cli/flags.ts'
import {markdownFlag, showPlan} from '../../cli/infra-plan.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class InfraPlan extends BaseCommand {
  static override summary = 'show what apply would change in the cloud, without changing anything'
  static override description =
    'Every resource that would be created, changed, replaced or removed, and why. Exits with 0 when there is nothing to do, with 2 when there is.'
  static override examples = [
    {description: 'the plan', command: '<%= config.bin %> infra plan prod'},
    {
      description: 'for a pull request, saved to be applied exactly as shown',
      command: '<%= config.bin %> infra plan --config cluster.yaml --save plan.tfplan --markdown',
    },
    {
      description: 'only one control plane, when a change would stop all of them at once',
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
      description: 'plan only this machine, with what it depends on; can be repeated',
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
