import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Context} from '../../spec/context.ts'

/**
 * The spec with account, region and profile of the context where it names none itself. A spec for another provider,
 * account or profile stays as it is: nothing of one account is taken for another.
 */
export function withContext(spec: ClusterSpec, context: Context | undefined): ClusterSpec {
  const {provider} = spec
  if (context?.provider !== provider.kind) return spec
  if (context.provider === 'aws') {
    const {aws} = provider
    if (differs(aws.account, context.account) || differs(aws.profile, context.profile)) return spec
    const {account, region, profile} = context
    return Object.freeze({
      ...spec,
      provider: Object.freeze({
        ...provider,
        aws: Object.freeze({...defined({account, region, profile}), ...aws}),
      }),
    })
  }
  const {azure} = provider
  if (differs(azure.subscription, context.subscription)) return spec
  const {subscription, location} = context
  return Object.freeze({
    ...spec,
    provider: Object.freeze({
      ...provider,
      azure: Object.freeze({...defined({subscription, location}), ...azure}),
    }),
  })
}

const differs = (ours: string | undefined, theirs: string | undefined): boolean =>
  ours !== undefined && ours !== theirs

function defined<T extends Readonly<Record<string, string | undefined>>>(
  values: T,
): {readonly [K in keyof T]?: Exclude<T[K], undefined>}
function defined(
  values: Readonly<Record<string, string | undefined>>,
): Readonly<Record<string, string | undefined>> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined))
}
