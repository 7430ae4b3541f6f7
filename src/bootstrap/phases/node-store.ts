import type {Bundle, FileItem} from '../../bundle/types.ts'
import {BundleError} from '../../bundle/errors.ts'

/** Folder of ours on a node. */
export const ROOT = '/opt/clouder'
/** Files of the bundle, named by the digest of their content. */
export const STORE = `${ROOT}/store`

/** Stands where containerd expects runc, for pods of the RuntimeClass that restores. */
export const RESTORE_HANDLER = '/usr/local/libexec/clouder/runc-restore'

/** Name of an item in the node's store. */
export const storeKey = (item: FileItem): string => `${item.contentSha256}-${item.name}`

/** Where a file of the bundle lies on a node. */
export const storePath = (item: FileItem): string => `${STORE}/${storeKey(item)}`

/** Throws BundleError BUNDLE_INVALID when the bundle has no such file. */
export function fileOf(bundle: Bundle, name: string): FileItem {
  const item = bundle.lock.files.find((file) => file.name === name)
  if (item) return item
  throw new BundleError('BUNDLE_INVALID', `the bundle ${bundle.dir} has no ${name}`, {
    suggestions: [`clouder bundle build --kubernetes ${bundle.lock.kubernetes}`],
  })
}
