import {selects} from './policies.ts'
import {STORE_USE_PREFIX} from '../api/names.ts'
import type {CheckpointStore} from '../api/resources.ts'

/**
 * Whether a namespace may keep checkpoints in a store: one that the store allows by name or by its labels. A store that
 * says nothing is for namespaces with its label; `default` is for all.
 */
export function mayUse(
  {metadata, spec}: Pick<CheckpointStore, 'metadata' | 'spec'>,
  namespace: {readonly name: string; readonly labels: Readonly<Record<string, string>>},
): boolean {
  const {allowedNamespaces: allowed} = spec
  if (allowed === undefined)
    return metadata.name === 'default' || namespace.labels[`${STORE_USE_PREFIX}${metadata.name}`] === 'true'
  const {names = [], matchLabels} = allowed
  return (
    names.includes(namespace.name) || (matchLabels !== undefined && selects({matchLabels}, namespace.labels))
  )
}
