import {ConflictError, retryOnConflict} from '../../kubernetes/conflict.ts'
import {podSchema, type Pod} from '../../kubernetes/pod.ts'
import {targetPod} from './migrate-target.ts'
import {checkpointOf, podNamed, type MigrationAt} from './migration-state.ts'
import {refTo} from './reconcile-context.ts'

/** https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#pod-deletion-cost */
const DELETION_COST = 'controller.kubernetes.io/pod-deletion-cost'

/** Gives the new pod to the ReplicaSet of the source, which goes: of the two it is the one to end. */
export async function handOver(pod: Pod, at: MigrationAt): Promise<void> {
  const {migration, context} = at
  const {status = {}, spec} = migration
  const taken = await checkpointOf(at)
  const source = await podNamed(spec.podName, at)
  const isThere = source !== undefined && source.metadata.uid === status.sourcePodUID
  context.signal.throwIfAborted()
  if (isThere)
    await context.kube.patch(refTo('Pod', spec.podName, migration.metadata.namespace), {
      metadata: {annotations: {[DELETION_COST]: '-2147483648'}},
    })
  const template = taken?.status?.podTemplate
  const labels =
    template === undefined ? {} : targetPod(template, pod.metadata.name, true, at).metadata.labels
  await own(pod, labels, at)
  if (isThere)
    await context.kube.delete(refTo('Pod', spec.podName, migration.metadata.namespace), {
      uid: source.metadata.uid,
    })
}

/** Makes the owners of the source those of the new pod. Throws ConflictError when it is another pod by now. */
async function own(pod: Pod, labels: object | undefined, {migration, context}: MigrationAt): Promise<void> {
  const {name, namespace, uid} = pod.metadata
  const ref = refTo('Pod', name, namespace)
  const owners = migration.status?.ownerRefs ?? []
  const isThere = await retryOnConflict(async () => {
    context.signal.throwIfAborted()
    const found = await context.kube.get(ref)
    if (found?.metadata.uid !== uid) return false
    // A list is replaced whole: an owner that somebody else adds at this moment must not be lost. Ours goes, and with it
    // the end of the pod when the Migration is deleted.
    const replaced = [migration.metadata.uid, ...owners.map(({uid}) => uid)]
    const others = podSchema
      .parse(found)
      .metadata.ownerReferences.filter((other) => !replaced.includes(other.uid))
    const {resourceVersion} = found.metadata
    await context.kube.patch(
      ref,
      {metadata: {labels, ownerReferences: [...others, ...owners]}},
      {resourceVersion},
    )
    return true
  })
  if (!isThere) throw new ConflictError(`pod ${namespace}/${name} with uid ${uid} no longer exists`)
}
