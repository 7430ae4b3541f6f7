import {API_VERSION, STORE_USE_PREFIX} from '../../api/names.ts'
import {checkpointStoreSchema, type CheckpointStore} from '../../api/resources.ts'
import {mayUse} from '../../checkpoint/store-use.ts'
import type {BlobStore} from '../../checkpoint/stores/blob-store.ts'
import type {Patience} from '../../base/waiting.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import {storeKeys, readSecret, type StoreKeys} from './key-ring.ts'

export interface OpenStore {
  readonly blobs: BlobStore
  readonly keys: StoreKeys
}

/** The stores of the cluster, by the name of their CheckpointStore. */
export interface Stores {
  /**
   * `fromNode`: where the sealed pieces lie when the store is the disk of a node; default: here. `patience`: with a store
   * that is away. `usedBy`: the namespace that keeps something there; to read and to remove what is there no leave is
   * needed.
   * Throws CheckpointError STORE_UNKNOWN, STORE_REFUSED.
   */
  open(
    name: string,
    options: {
      readonly fromNode?: string | undefined
      readonly patience?: Patience | undefined
      readonly usedBy?: string | undefined
      readonly signal: AbortSignal
    },
  ): Promise<OpenStore>
}

export interface StoresOptions {
  readonly kube: KubeClient
  readonly node: string
  readonly openBlobs: (
    spec: CheckpointStore['spec'],
    credentials: Record<string, string> | undefined,
    patience?: Patience,
  ) => Promise<BlobStore>
  /** The disk of another node, read through its agent. */
  readonly openPeer: (node: string) => Promise<BlobStore>
}

/** Stores as their objects and Secrets say; looked up anew each time, as they change. */
export function clusterStores({kube, node, openBlobs, openPeer}: StoresOptions): Stores {
  return {
    async open(name, {fromNode = node, patience, usedBy, signal}) {
      const object = await kube.get({apiVersion: API_VERSION, kind: 'CheckpointStore', name})
      if (object === undefined) {
        throw new CheckpointError('STORE_UNKNOWN', `CheckpointStore ${name} not found`, {
          suggestions: ['kubectl get checkpointstores'],
        })
      }
      const store = checkpointStoreSchema.parse(object)
      if (usedBy !== undefined) await refuseStranger(store, usedBy, kube)
      const secret = store.spec.credentials?.secretName
      const credentials = secret === undefined ? undefined : await readSecret(kube, secret)
      if (secret !== undefined && credentials === undefined)
        throw new CheckpointError(
          'STORE_REFUSED',
          `store ${name} refers to Secret ${secret}, which does not exist`,
        )
      const elsewhere = store.spec.node !== undefined && fromNode !== node
      const blobs = elsewhere ? await openPeer(fromNode) : await openBlobs(store.spec, credentials, patience)
      return {blobs, keys: await storeKeys(kube, store, signal)}
    },
  }
}

async function refuseStranger(store: CheckpointStore, namespace: string, kube: KubeClient): Promise<void> {
  const object = await kube.get({apiVersion: 'v1', kind: 'Namespace', name: namespace})
  if (mayUse(store, {name: namespace, labels: object?.metadata.labels ?? {}})) return
  const {name} = store.metadata
  throw new CheckpointError('STORE_REFUSED', `namespace ${namespace} is not allowed to use store ${name}`, {
    suggestions: [
      `kubectl label namespace ${namespace} ${STORE_USE_PREFIX}${name}=true, or add it to spec.allowedNamespaces of the store`,
    ],
  })
}
