import {byonProvider} from './byon.ts'
import {localProvider, type LocalProviderOptions} from './local.ts'
import type {Provider} from './provider.ts'
import {AWS_MACHINES, AZURE_MACHINES} from './terraform-machines.ts'
import {terraformProvider, type TerraformProviderOptions} from './terraform-provider.ts'

export interface ProviderOptions {
  readonly local: LocalProviderOptions
  readonly cloud: Omit<TerraformProviderOptions, 'kind' | 'synthesise' | 'machines'>
}

/** The provider of a kind. The stack of a cloud is loaded when it is synthesised. */
export function providerFor(kind: Provider['kind'], {local, cloud}: ProviderOptions): Provider {
  switch (kind) {
    case 'local':
      return localProvider(local)
    case 'byon':
      return byonProvider()
    case 'aws':
      return terraformProvider({
        ...cloud,
        kind,
        machines: AWS_MACHINES,
        synthesise: async (input) => (await import('../../../stacks/aws.ts')).synthesiseAws(input),
      })
    case 'azure':
      return terraformProvider({
        ...cloud,
        kind,
        machines: AZURE_MACHINES,
        synthesise: async (input) => (await import('../../../stacks/azure.ts')).synthesiseAzure(input),
      })
  }
}
