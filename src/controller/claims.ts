import {z} from 'zod'
import type {Pod} from '../checkpoint/pod.ts'
import type {World} from './world.ts'

const claimSchema = z.looseObject({
  spec: z.looseObject({accessModes: z.array(z.string()).default([]), volumeName: z.string().optional()}),
})

/** Why the volumes of a pod stand against a move; undefined: they do not. */
export async function claimProblem(
  pod: Pod,
  ofReplicaSet: boolean,
  {kube}: World,
): Promise<string | undefined> {
  for (const {persistentVolumeClaim: claim} of pod.spec.volumes ?? []) {
    if (claim === undefined) continue
    const found = await kube.get({
      apiVersion: 'v1',
      kind: 'PersistentVolumeClaim',
      namespace: pod.metadata.namespace,
      name: claim.claimName,
    })
    if (found === undefined) return `its claim ${claim.claimName} is gone`
    const {accessModes} = claimSchema.parse(found).spec
    // The new pod of a ReplicaSet has to be ready before the old one goes, or the ReplicaSet makes one of its own.
    if (ofReplicaSet && !accessModes.includes('ReadWriteMany') && !accessModes.includes('ReadOnlyMany'))
      return `its claim ${claim.claimName} is for one node at a time, and its ReplicaSet would make another pod in between; a StatefulSet can be moved with it`
  }
  return undefined
}
