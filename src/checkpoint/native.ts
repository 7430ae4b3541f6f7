import {z} from 'zod'
import type {KubeReader} from '../kubernetes/types.ts'

/**
 * Groups that drafts of Kubernetes' own API had it in, the newest first: https://kep.k8s.io/5823. No release serves it
 * yet, and between drafts its group, its fields and how a pod names a checkpoint have changed.
 */
const GROUPS = ['node.k8s.io', 'checkpoint.k8s.io']
const RESOURCE = 'podcheckpoints'

const groupsSchema = z.looseObject({
  groups: z.array(
    z.looseObject({name: z.string(), versions: z.array(z.looseObject({groupVersion: z.string()}))}),
  ),
})
const resourcesSchema = z.looseObject({resources: z.array(z.looseObject({name: z.string()}))})

/** The API version in which a cluster serves `PodCheckpoint`; undefined: in none. Throws KubernetesError. */
export async function findPodCheckpoints(
  kube: Pick<KubeReader, 'fetch'>,
  signal: AbortSignal,
): Promise<string | undefined> {
  const read = async <T>(path: string, schema: z.ZodType<T>): Promise<T | undefined> => {
    const {status, body} = await kube.fetch(path, signal)
    return status === 200 ? schema.parse(JSON.parse(body)) : undefined
  }
  const {groups = []} = (await read('/apis', groupsSchema)) ?? {}
  const versions = GROUPS.flatMap((name) => groups.find((group) => group.name === name)?.versions ?? [])
  for (const {groupVersion} of versions) {
    const {resources = []} = (await read(`/apis/${groupVersion}`, resourcesSchema)) ?? {}
    if (resources.some(({name}) => name === RESOURCE)) return groupVersion
  }
  return undefined
}
