import {z} from 'zod'
import {podSchema, type Pod} from '../../kubernetes/pod.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import {nodeTermsSchema, type BoundVolume} from './placement.ts'
import type {ReconcileContext} from './reconcile-context.ts'

const claimSchema = z.looseObject({
  spec: z.looseObject({accessModes: z.array(z.string()).default([]), volumeName: z.string().optional()}),
})
const volumeSchema = z.looseObject({
  spec: z.looseObject({nodeAffinity: z.looseObject({required: nodeTermsSchema.optional()}).optional()}),
})

/** Why the volumes of a pod stand against a move; undefined: they do not. */
export async function claimProblem(
  pod: Pod,
  ofReplicaSet: boolean,
  {kube}: Pick<ReconcileContext, 'kube'>,
): Promise<string | undefined> {
  for (const {persistentVolumeClaim: claim} of pod.spec.volumes ?? []) {
    if (claim === undefined) continue
    const found = await claimNamed(claim.claimName, pod.metadata.namespace, kube)
    if (found === undefined) return `its claim ${claim.claimName} does not exist`
    // Protected for as long as the pod is there.
    if (found.metadata.deletionTimestamp !== undefined)
      return `its claim ${claim.claimName} was deleted and disappears together with the pod`
    const {accessModes} = claimSchema.parse(found).spec
    // The new pod of a ReplicaSet has to be ready before the old one goes, or the ReplicaSet makes one of its own.
    if (ofReplicaSet && !accessModes.includes('ReadWriteMany') && !accessModes.includes('ReadOnlyMany'))
      return `its claim ${claim.claimName} can be mounted on one node at a time, and its ReplicaSet would create another pod in between; use a StatefulSet, which can be moved with such a claim`
  }
  return undefined
}

/**
 * Volumes of a pod that only some nodes have: disks of nodes, disks of one zone. `spec` is that of the pod; claims that
 * are absent or not bound yet bind nothing.
 */
export async function boundVolumes(
  spec: unknown,
  namespace: string | undefined,
  {kube}: Pick<ReconcileContext, 'kube'>,
): Promise<readonly BoundVolume[]> {
  const bound: BoundVolume[] = []
  for (const {persistentVolumeClaim: claim} of podSchema.shape.spec.parse(spec).volumes ?? []) {
    if (claim === undefined) continue
    const found = await claimNamed(claim.claimName, namespace, kube)
    const name = found === undefined ? undefined : claimSchema.parse(found).spec.volumeName
    if (name === undefined) continue
    const volume = await kube.get({apiVersion: 'v1', kind: 'PersistentVolume', name})
    const terms = volume === undefined ? undefined : volumeSchema.parse(volume).spec.nodeAffinity?.required
    if (terms !== undefined) bound.push({claim: claim.claimName, terms})
  }
  return bound
}

const claimNamed = (
  name: string,
  namespace: string | undefined,
  kube: ReconcileContext['kube'],
): Promise<KubeObject | undefined> =>
  kube.get({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    ...(namespace === undefined ? {} : {namespace}),
    name,
  })
