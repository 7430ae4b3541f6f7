import {isOver} from '../../checkpoint/ends.ts'
import {
  checkpointStoreSchema,
  migrationSchema,
  restoreSchema,
  runtimeSchema,
  type Checkpoint,
  type Retention,
} from '../../api/resources.ts'
import {expired, retained} from '../../checkpoint/retention.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import {listCheckpoints, type CheckpointTools} from './checkpoint.ts'
import {listObjects, refTo} from './objects.ts'

export interface GcOptions {
  readonly namespace?: string
  /** Instead of what the stores say. */
  readonly retention?: Retention
  readonly dryRun: boolean
}

export interface GcResult {
  readonly removed: readonly {
    readonly checkpoint: string
    readonly store: string
    readonly storedBytes: number
    readonly createdAt: string
  }[]
  readonly kept: number
  readonly dryRun: boolean
}

/**
 * Deletes checkpoints that retention lets go. What they alone needed in the store is removed by the cluster, which
 * ends their objects only then.
 */
export async function collectCheckpoints(
  kube: KubeClient,
  options: GcOptions,
  tools: CheckpointTools,
): Promise<GcResult> {
  const [checkpoints, stores, inUse, podUids] = await Promise.all([
    listCheckpoints(kube, options.namespace),
    listObjects(kube, 'CheckpointStore', checkpointStoreSchema),
    namesInUse(kube),
    podUidsOf(kube),
  ])
  const retentionOf = (store: string): Retention =>
    options.retention ?? stores.find(({metadata}) => metadata.name === store)?.spec.retention ?? {}
  const placed = Map.groupBy(
    checkpoints,
    ({metadata, spec}) => `${metadata.namespace ?? ''} ${spec.storeName}`,
  )
  const doomed = [...placed.values()].flatMap((together) => {
    const seen = together.map((checkpoint) =>
      retained(checkpoint, {podUids, inUse: inUse.has(placeOf(checkpoint))}),
    )
    return expired(seen, retentionOf(together[0]?.spec.storeName ?? ''), tools.now()).map(
      ({checkpoint}) => checkpoint,
    )
  })
  if (!options.dryRun)
    for (const {metadata} of doomed) await kube.delete(refTo('Checkpoint', metadata.name, metadata.namespace))
  return {
    removed: doomed.map((checkpoint) => ({
      checkpoint: placeOf(checkpoint),
      store: checkpoint.spec.storeName,
      storedBytes: checkpoint.status?.storedBytes ?? 0,
      createdAt: checkpoint.metadata.creationTimestamp ?? '',
    })),
    kept: checkpoints.length - doomed.length,
    dryRun: options.dryRun,
  }
}

const placeOf = ({metadata}: Checkpoint): string => `${metadata.namespace ?? ''}/${metadata.name}`

/** Checkpoints that something in the cluster goes on from, or may fall back to. */
async function namesInUse(kube: KubeReader): Promise<ReadonlySet<string>> {
  const [restores, migrations, runtimes] = await Promise.all([
    listObjects(kube, 'Restore', restoreSchema),
    listObjects(kube, 'Migration', migrationSchema),
    listObjects(kube, 'Runtime', runtimeSchema),
  ])
  const place = (namespace: string | undefined, name: string | undefined) =>
    name === undefined ? [] : [`${namespace ?? ''}/${name}`]
  return new Set([
    ...restores
      .filter((restore) => !isOver(restore))
      .flatMap(({metadata, spec}) => place(metadata.namespace, spec.checkpointName)),
    ...migrations
      .filter((migration) => !isOver(migration))
      .flatMap(({metadata, status}) => place(metadata.namespace, status?.checkpointName)),
    ...runtimes.flatMap(({metadata, status}) => place(metadata.namespace, status?.checkpointName)),
  ])
}

async function podUidsOf(kube: KubeReader): Promise<ReadonlySet<string>> {
  const pods = await kube.list({apiVersion: 'v1', kind: 'Pod'})
  return new Set(pods.flatMap(({metadata}) => metadata.uid ?? []))
}
