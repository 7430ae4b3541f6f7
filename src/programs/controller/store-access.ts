import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {checkpointStoreSchema, type CheckpointStore} from '../../api/resources.ts'
import type {BlobStore} from '../../checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {ReconcileContext} from './reconcile-context.ts'

const secretSchema = z.looseObject({data: z.record(z.string(), z.string()).default({})})

export function storeNamed(
  name: string,
  {objects}: Pick<ReconcileContext, 'objects'>,
): CheckpointStore | undefined {
  const object = objects.get('CheckpointStore', name)
  return object === undefined ? undefined : checkpointStoreSchema.parse(object)
}

/** Whether the controller reaches a store by itself; what lies on nodes only their agents reach. */
export const isRemote = ({spec}: CheckpointStore): boolean =>
  spec.registry !== undefined || spec.s3 !== undefined || spec.azureBlob !== undefined

/** Opens a store that is reached from here. Throws CheckpointError STORE_REFUSED when its Secret is not there. */
export async function openRemote(
  {metadata, spec}: CheckpointStore,
  context: ReconcileContext,
): Promise<BlobStore> {
  const name = spec.credentials?.secretName
  if (name === undefined) return context.openStore(spec, undefined)
  const found = await context.kube.get({apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE, name})
  if (found === undefined)
    throw new CheckpointError(
      'STORE_REFUSED',
      `store ${metadata.name} refers to Secret ${SYSTEM_NAMESPACE}/${name}, which does not exist`,
    )
  const entries = Object.entries(secretSchema.parse(found).data)
  const decoded = entries.map(([key, text]) => [key, Buffer.from(text, 'base64').toString('utf8')] as const)
  return context.openStore(spec, Object.fromEntries(decoded))
}
