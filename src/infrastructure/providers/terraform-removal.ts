import {ConfigError} from '../../base/errors.ts'
import {cloudOf} from '../../spec/cloud-machines.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {Terraform, TerraformPlan} from '../../terraform/types.ts'
import type {ProviderContext} from './provider.ts'

/** Checkpoints, backups and shared files with their settings, and the group that they lie in. */
const HOLDS_DATA = /^(aws_s3_bucket|aws_efs_file_system|azurerm_storage_|azurerm_resource_group\.)/
/** What accounts were named with goes with them: made anew, it names the next ones otherwise. */
const NAMES = 'terraform_data.storage-names'

/** What of a state a destroy removes, and what the deletion policy keeps. */
export async function removedAndKept(
  terraform: Terraform,
  spec: ClusterSpec | undefined,
  {signal}: Pick<ProviderContext, 'signal'>,
): Promise<{readonly removed: readonly string[]; readonly kept: readonly string[]}> {
  const all = await terraform.stateList({signal})
  const keeps = spec !== undefined && cloudOf(spec)?.deletionPolicy === 'retain'
  const isKept = (address: string) => keeps && (HOLDS_DATA.test(address) || address === NAMES)
  return {removed: all.filter((address) => !isKept(address)), kept: all.filter(isKept)}
}

/** A plan that removes these. */
export function removalOf(addresses: readonly string[]): TerraformPlan {
  const changes = addresses.map((address) => ({
    address,
    type: address.split('.')[0] ?? '',
    actions: ['delete'] as const,
    reason: 'everything is deleted',
  }))
  const outputs = () => Promise.resolve({})
  return {changes, drift: [], hasChanges: changes.length > 0, outputs, priorOutputs: {}, read: {}, file: ''}
}

/** One line for each thing with a name of its own; its settings are kept with it, under the same id. */
export function reportKept(
  addresses: readonly string[],
  ids: readonly string[],
  {report}: Pick<ProviderContext, 'report'>,
): void {
  for (const id of new Set(ids.filter((_, index) => addresses[index] !== NAMES))) {
    const of = addresses.filter((_, index) => ids[index] === id).join(', ')
    const text = `${id} is kept as the deletion policy requires, and is no longer in the Terraform state (${of})`
    report({type: 'note', level: 'warning', text})
  }
}

/** A plan that is saved is applied as it is, with all that is in the state. Throws ConfigError FLAG_INVALID. */
export function refuseSaved({name}: Pick<ClusterSpec, 'name'>, kept: readonly string[]): void {
  if (kept.length === 0) return
  throw new ConfigError(
    'FLAG_INVALID',
    `a saved plan would delete resources that the deletion policy keeps: ${kept.join(', ')}`,
    {
      suggestions: [
        `delete everything else and keep these: clouder infra destroy ${name}`,
        'to delete these too, set deletionPolicy to delete and apply that first',
      ],
    },
  )
}
