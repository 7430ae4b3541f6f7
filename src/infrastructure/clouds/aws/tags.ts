import {CLUSTER_TAG, type OwnedResource} from '../cloud.ts'

/** Tags by name. */
export type Tags = Readonly<Record<string, string>>

/** Whose something is by its tags; undefined: not this cluster's. */
export type OwnerOf = (tags: Tags) => OwnedResource['madeBy'] | undefined

/** Ids of tagged things by what the ids of their kind begin with, `vol`, with whose they are. */
export type TaggedIds = ReadonlyMap<string, ReadonlyMap<string, OwnedResource['madeBy']>>

/** Tags that the cloud provider, the CSI driver and the load balancer controller put on what they make. */
export const controllerTags = (cluster: string): Tags => ({
  [`kubernetes.io/cluster/${cluster}`]: 'owned',
  'elbv2.k8s.aws/cluster': cluster,
})

export function ownerIn(cluster: string): OwnerOf {
  const controllers = Object.entries(controllerTags(cluster))
  return (tags) => {
    if (tags[CLUSTER_TAG.aws] === cluster) return 'clouder'
    // Of another cluster of the same name, but not of clouder, nothing is known: its other tag says which it is.
    if (tags[CLUSTER_TAG.aws] !== undefined) return undefined
    return controllers.some(([key, value]) => tags[key] === value) ? 'controller' : undefined
  }
}

/** Whether it was made for some cluster, whichever. */
export const isOfCluster = (tags: Tags): boolean =>
  tags[CLUSTER_TAG.aws] !== undefined ||
  Object.entries(tags).some(([key, value]) => key.startsWith('kubernetes.io/cluster/') && value === 'owned')

export const tagsOf = (
  tags: readonly {readonly Key?: string | undefined; readonly Value?: string | undefined}[] | undefined,
): Tags => Object.fromEntries((tags ?? []).map(({Key: key = '', Value: value = ''}) => [key, value]))

/** Ids as a filter: what is gone meanwhile is left out, where a list of ids would make an error. */
export const byIds = (name: string, owners: ReadonlyMap<string, unknown>) => ({
  Filters: [{Name: name, Values: [...owners.keys()]}],
})
