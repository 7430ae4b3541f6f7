import {BaseCommand} from '../../cli/base-command.ts'
import {nameArgument} from '../../cli/flags.ts'
import {markdownFlag, showPlan} from '../../cli/infra-plan.ts'
import {specFlags} from '../../cli/spec-flags.ts'

export default class InfraDrift extends BaseCommand {
  static override summary = 'show what was changed in the cloud outside of clouder'
  static override description =
    'Compares the cloud with the last apply. Exits with 0 when nothing differs, with 2 when something does. The next apply reverts the changes.'
  static override examples = [
    {description: 'for a nightly job', command: '<%= config.bin %> infra drift prod'},
    {
      description: 'as Markdown, for an issue',
      command: '<%= config.bin %> infra drift prod --markdown > drift.md',
    },
  ]
  static override args = nameArgument
  static override flags = {...specFlags, ...markdownFlag}

  async run(): Promise<void> {
    const {args, flags} = await this.parse(InfraDrift)
    await showPlan(this, args.name, flags, {goal: 'drift'})
  }
}
