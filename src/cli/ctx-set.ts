import {ConfigError} from '../base/errors.ts'
import {type Context, contextSchema} from '../spec/context.ts'

export interface ContextFlagValues {
  readonly provider?: string | undefined
  readonly account?: string | undefined
  readonly region?: string | undefined
  readonly profile?: string | undefined
  readonly subscription?: string | undefined
  readonly location?: string | undefined
}

/** The context with what the flags say; without flags it stays as it is. Throws ConfigError FLAG_MISSING, FLAG_INVALID. */
export function contextWith(name: string, before: Context | undefined, flags: ContextFlagValues): Context {
  const given = Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined))
  const provider = flags.provider ?? before?.provider
  if (provider === undefined) {
    throw new ConfigError('FLAG_MISSING', `context ${name} does not exist, and --provider is not set`, {
      suggestions: [
        `clouder ctx set ${name} --provider aws --region eu-central-1`,
        `clouder ctx set ${name} --provider azure --location westeurope`,
      ],
    })
  }
  const kept = before?.provider === provider ? before : {}
  const context = contextSchema.safeParse({...kept, ...given, provider})
  if (context.success) return context.data
  const problems = context.error.issues.map((issue) =>
    issue.code === 'unrecognized_keys'
      ? `${issue.keys.map((key) => `--${key}`).join(' and ')} cannot be used with provider ${provider}`
      : `--${issue.path.join('.')} ${issue.message}`,
  )
  throw new ConfigError('FLAG_INVALID', `context ${name} is invalid: ${problems.join('; ')}`)
}
