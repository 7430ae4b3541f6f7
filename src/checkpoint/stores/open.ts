import {CheckpointError} from '../errors.ts'
import type {StoreSpec} from '../../api/resources.ts'
import type {BlobStore} from './blob-store.ts'
import {objectStore} from './object-store.ts'
import type {Objects} from './objects.ts'
import type {Patience} from '../../base/waiting.ts'
import {storeError} from './problems.ts'

export interface OpenStoreOptions {
  /**
   * Content of the store's Secret. `s3`: `accessKeyId`, `secretAccessKey`, `sessionToken`. `azureBlob`: `connectionString`,
   * or `sasToken`, or `clientId` of a managed identity. `registry`: `username`, `password`.
   */
  readonly credentials?: Readonly<Record<string, string>>
  /** Where a store of kind `node` lies. */
  readonly nodeDir: string
  /** Where the claim of the store is mounted; absent: it is not. */
  readonly claimDir?: string
  /** Between two attempts of a call. */
  readonly pauseMs?: number
  readonly patience?: Patience | undefined
}

/**
 * The store that a spec means; nothing is sent to it yet. Throws CheckpointError STORE_REFUSED when its credentials have
 * not the keys it needs, STORE_UNREACHABLE when its claim is not mounted.
 */
export async function openStore(spec: StoreSpec, options: OpenStoreOptions): Promise<BlobStore> {
  const pause = options.pauseMs === undefined ? {} : {pauseMs: options.pauseMs}
  const objects = await objectsOf(spec, options)
  return objectStore(objects, {...pause, patience: options.patience})
}

async function objectsOf(
  spec: StoreSpec,
  {nodeDir, claimDir, credentials}: OpenStoreOptions,
): Promise<Objects> {
  const {node, directory, persistentVolumeClaim: claim} = spec
  if (spec.s3 !== undefined) return (await import('./s3.ts')).s3Objects(spec.s3, credentials)
  if (spec.azureBlob !== undefined) {
    return (await import('./azure-blob.ts')).azureBlobObjects(spec.azureBlob, credentials)
  }
  if (spec.registry !== undefined) {
    return (await import('./registry.ts')).registryObjects(spec.registry, credentials)
  }
  const {directoryObjects} = await import('./directory.ts')
  if (node !== undefined) return directoryObjects(nodeDir)
  if (directory !== undefined) return directoryObjects(directory.path)
  if (claim !== undefined) {
    if (claimDir !== undefined) return directoryObjects(claimDir)
    throw storeError(`PersistentVolumeClaim ${claim.claimName}`, {
      kind: 'absent',
      words: 'it is not mounted in this pod',
    })
  }
  throw new CheckpointError(
    'STORE_UNKNOWN',
    'the spec of the store sets none of s3, azureBlob, registry, node, directory and persistentVolumeClaim',
  )
}
