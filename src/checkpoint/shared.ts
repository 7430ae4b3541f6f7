import {z} from 'zod'

/** Not by the schema of a Checkpoint: what one means that is not valid any more is to stay too. */
const meaningSchema = z.looseObject({
  metadata: z.looseObject({uid: z.string(), deletionTimestamp: z.string().optional()}),
  spec: z.looseObject({storeName: z.string()}),
  status: z.looseObject({digest: z.string()}),
})

/** Whether another one of all Checkpoints of the cluster means what this one stored. */
export function isShared(
  stored: {readonly uid: string | undefined; readonly store: string; readonly digest: string},
  all: readonly object[],
): boolean {
  return all
    .flatMap((object) => meaningSchema.safeParse(object).data ?? [])
    .some(
      ({metadata, spec, status}) =>
        metadata.uid !== stored.uid &&
        metadata.deletionTimestamp === undefined &&
        spec.storeName === stored.store &&
        status.digest === stored.digest,
    )
}
