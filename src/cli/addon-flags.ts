import {Args} from '@oclif/core'
import {parse} from 'yaml'
import {ConfigError} from '../base/errors.ts'
import type {ReleasePlan} from '../platform/release/types.ts'
import type {BaseCommand} from './base-command.ts'
import {riskOf} from './release-plan.ts'

export const addonArgument = {
  addon: Args.string({description: 'id of the addon, as `addon ls` shows it'}),
}

/** The addon of a command that needs one. Throws ConfigError FLAG_MISSING. */
export function addonOf(id: string | undefined): string {
  if (id !== undefined) return id
  throw new ConfigError('FLAG_MISSING', 'no addon given', {suggestions: ['list them: clouder addon ls']})
}

/** `replicas=3` and `tls.enabled=true`, as parameters; values are YAML. Throws ConfigError FLAG_INVALID. */
export function parametersOf(settings: readonly string[]): Readonly<Record<string, unknown>> {
  const parameters: Record<string, unknown> = {}
  for (const setting of settings) {
    const [, path = '', text = ''] = /^([^=]+)=([^]*)$/.exec(setting) ?? []
    const keys = path.split('.')
    if (path === '' || keys.some((key) => key === '' || key === '__proto__'))
      throw new ConfigError('FLAG_INVALID', `--set ${JSON.stringify(setting)} is not in the form KEY=VALUE`)
    let place = parameters
    for (const key of keys.slice(0, -1)) {
      const inner = place[key]
      const next = isMapping(inner) ? inner : {}
      place[key] = next
      place = next
    }
    place[keys.at(-1) ?? ''] = valueOf(setting, text)
  }
  return parameters
}

const isMapping = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function valueOf(setting: string, text: string): unknown {
  try {
    return parse(text) as unknown
  } catch (cause) {
    throw new ConfigError('FLAG_INVALID', `the value of --set ${JSON.stringify(setting)} is not YAML`, {
      cause,
    })
  }
}

/** Asks only where objects are deleted. */
export async function confirmPlans(
  command: BaseCommand,
  plans: readonly ReleasePlan[],
  yes: boolean,
): Promise<void> {
  const risks = riskOf(plans)
  if (risks.length === 0) return
  const text = `objects of the cluster are deleted:\n${risks.map((line) => `  ${line}`).join('\n')}\ncontinue?`
  await command.ask({text, declined: 'no addon was changed', yes})
}
