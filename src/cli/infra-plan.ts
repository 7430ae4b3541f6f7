import {Flags} from '@oclif/core'
import type {InfraPlanOptions} from '../infrastructure/providers/provider.ts'
import type {BaseCommand} from './base-command.ts'
import {specFromFlags, type SpecFlagValues} from './spec-flags.ts'

export const markdownFlag = {
  markdown: Flags.boolean({
    description: 'print Markdown, for a comment',
    env: 'CLOUDER_INFRA_MARKDOWN',
  }),
}

/** Something is to be done, or something differs: the code that scripts wait for. */
const SOMETHING = 2

/** What plan and drift share: the spec, the plan, its text and its exit code. */
export async function showPlan(
  command: BaseCommand,
  name: string | undefined,
  flags: SpecFlagValues & {readonly markdown?: boolean},
  options: InfraPlanOptions,
): Promise<void> {
  const tools = await command.tools()
  const spec = await specFromFlags(name, flags, tools.store, tools.contexts)
  const [{planInfra}, {infraPlanMarkdown, infraPlanText}] = await Promise.all([
    import('../workflows/infra/infra.ts'),
    import('./infra-results.ts'),
  ])
  const plan = await planInfra(spec, options, tools)
  const text = {colours: command.colours, columns: command.terminal.columns}
  await command.show(plan, () =>
    flags.markdown === true ? infraPlanMarkdown(plan) : infraPlanText(plan, text),
  )
  if (plan.hasChanges) process.exitCode = SOMETHING
}
