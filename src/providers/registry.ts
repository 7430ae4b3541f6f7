import {InfrastructureError} from '../errors.ts'
import {byonProvider} from './byon.ts'
import {localProvider, type LocalProviderOptions} from './local.ts'
import type {Provider} from './provider.ts'

/** The provider of a kind. Throws InfrastructureError PROVIDER_UNSUPPORTED. */
export function providerFor(
  kind: Provider['kind'],
  options: {readonly local: LocalProviderOptions},
): Provider {
  switch (kind) {
    case 'local':
      return localProvider(options.local)
    case 'byon':
      return byonProvider()
    case 'aws':
    case 'azure':
      throw new InfrastructureError(
        'PROVIDER_UNSUPPORTED',
        `provider ${kind} cannot make machines yet: it arrives with the infrastructure work`,
        {suggestions: ['make machines of your own and bring them: spec.provider.kind: byon']},
      )
  }
}
