import {API_VERSION, MIGRATION_LABEL} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import type {CheckpointStatus, Migration} from '../../api/resources.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {refusalByDryRun} from './dry-run.ts'
import {checkpointNameOf, finish, phaseMs, updateStatus, type MigrationAt} from './migration-state.ts'
import {restoredPod} from './restored-pod.ts'
import {timeText} from '../../base/time.ts'
import type {Requeue} from '../../operator/reconciler.ts'

/** A quota hears late of a pod that is gone, and a policy may be put right, within so long. */
const REFUSED_MS = 2 * 60_000
const REFUSED_AGAIN_MS = 5_000

type Template = NonNullable<CheckpointStatus['podTemplate']>

/**
 * A ReplicaSet adopts every pod with its labels that has no controller. Those of a Deployment want one that the new pod
 * lacks, others want none besides those that Services and network policies go by, which it must have.
 */
const ownerUntilHandOver = ({metadata: {name, uid}}: Migration) => ({
  apiVersion: API_VERSION,
  kind: 'Migration',
  name,
  uid,
  controller: true,
})

/** The pod to make on the target. */
export function targetPod(
  template: Template,
  name: string,
  replaces: boolean,
  {migration}: MigrationAt,
): KubeObject {
  const {metadata, spec, status = {}} = migration
  return restoredPod({
    namespace: metadata.namespace ?? 'default',
    name,
    template,
    checkpoint: checkpointNameOf(migration),
    backend: spec.backend ?? 'Handler',
    images: status.images,
    nodes: [status.targetNodeName ?? ''],
    labels: {[MIGRATION_LABEL]: labelValue(metadata.name)},
    // A ReplicaSet that sees one too many would end the one that is not ready: ours. It gets it when it is.
    owners: replaces ? (status.ownerRefs ?? []) : [ownerUntilHandOver(migration)],
    takesPlace: replaces,
  })
}

/** Whether a pod is one that the move made, not the one that it moves. */
export const isMadeBy = ({metadata}: Pod, {metadata: {name}, status}: Migration): boolean =>
  metadata.labels[MIGRATION_LABEL] === labelValue(name) && metadata.uid !== status?.sourcePodUID

/** Why the API server would refuse the pod on the target, asked while the source could still go on. */
export const refusalOfTarget = (
  template: Template,
  name: string,
  replaces: boolean,
  at: MigrationAt,
): Promise<string | undefined> =>
  refusalByDryRun(
    targetPod(template, name, replaces, at),
    {takesPlace: replaces, askedForMs: phaseMs(at)},
    at.context,
  )

/** The API server refuses the pod, and the source is gone: tells it at once, and gives up when that stays so. */
export async function refused(why: string, at: MigrationAt): Promise<Requeue> {
  const {migration, context} = at
  const {metadata, status = {}} = migration
  const sinceMs = Date.parse(status.refusalTime ?? '')
  if (context.now() - sinceMs >= REFUSED_MS) {
    const place = `${metadata.namespace ?? 'default'}/${status.checkpointName ?? ''}`
    const next = `its checkpoint ${place} is kept; restore it with \`clouder checkpoint restore ${place}\``
    return finish(at, 'Failed', 'API_REJECTED', `the pod could not be restored on any node: ${why}; ${next}`)
  }
  await updateStatus(at, {
    refusalTime: status.refusalTime ?? timeText(context.now()),
    message: `retrying: ${why}`,
  })
  return {requeueAfterMs: REFUSED_AGAIN_MS}
}
