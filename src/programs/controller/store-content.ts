import {z} from 'zod'
import {checkpointStoreSchema} from '../../api/resources.ts'
import {writeStatus} from '../../operator/writes.ts'
import {refTo, type Reconciler} from './reconcile-context.ts'

/** Not by the schema of a Checkpoint: what one has stored that is not valid any more is in the store too. */
const storedSchema = z.looseObject({
  spec: z.looseObject({storeName: z.string().default('default')}),
  status: z.looseObject({digest: z.string()}),
})

/** Reports whether a CheckpointStore holds checkpoints. As long as it does, the API server keeps its location as it is. */
export const storeContentReconciler: Reconciler = {
  name: 'store-content',
  kind: 'CheckpointStore',
  watches: {
    Checkpoint: (object) => {
      const name = storedSchema.safeParse(object).data?.spec.storeName
      return name === undefined ? [] : [refTo('CheckpointStore', name)]
    },
  },
  async reconcile(object, context) {
    const {metadata, status} = checkpointStoreSchema.parse(object)
    const {objects} = context
    const inUse = [...objects.list('Checkpoint'), ...objects.unreadable('Checkpoint')].some(
      (checkpoint) => storedSchema.safeParse(checkpoint).data?.spec.storeName === metadata.name,
    )
    if ((status?.inUse ?? false) !== inUse) await writeStatus(object, {inUse}, context)
    return undefined
  },
}
