import pLimit from 'p-limit'
import {z} from 'zod'
import {jsonOf} from '../../base/json.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {APPLYSET, CREATED_ONCE_LABEL, applySetId} from './identity.ts'
import type {ReleaseName} from './types.ts'

const CONCURRENCY = 8

/** What every namespace holds without anybody's doing. */
const ALWAYS_THERE = new Set(['ConfigMap kube-root-ca.crt', 'ServiceAccount default'])
/** What programs leave in a namespace that they work in; it is of no use without them. */
const LEFT_BY_PROGRAMS = new Set(['Event', 'Lease', 'Endpoints', 'EndpointSlice', 'PodMetrics'])

const groupsSchema = z.looseObject({
  groups: z.array(z.looseObject({preferredVersion: z.looseObject({groupVersion: z.string()})})),
})
const resourcesSchema = z.looseObject({
  resources: z.array(
    z.looseObject({
      name: z.string(),
      kind: z.string(),
      namespaced: z.boolean(),
      verbs: z.array(z.string()).default([]),
    }),
  ),
})

/**
 * Why a namespace must not be deleted with a release, in words: an object of any kind that is not of the release, or a
 * group of the API whose objects nobody can list now. Undefined: nothing of others is in it.
 */
export async function foreignContent(
  kube: KubeReader,
  namespace: string,
  name: ReleaseName,
): Promise<string | undefined> {
  const {status, body} = await kube.fetch('/apis')
  if (status !== 200) return `the API server lists no groups (${status})`
  const {groups} = groupsSchema.parse(jsonOf(body))
  const versions = ['v1', ...groups.map(({preferredVersion}) => preferredVersion.groupVersion)]
  const limit = pLimit(CONCURRENCY)
  const found = await Promise.all(
    versions.map((version) => limit(() => foreignOfVersion(kube, version, namespace, name))),
  )
  return found.find((text) => text !== undefined)
}

async function foreignOfVersion(
  kube: KubeReader,
  apiVersion: string,
  namespace: string,
  name: ReleaseName,
): Promise<string | undefined> {
  const {status, body} = await kube.fetch(apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`)
  if (status === 404) return undefined
  if (status !== 200) return `${apiVersion} does not answer (${status}), so what is in it is unknown`
  const kinds = resourcesSchema
    .parse(jsonOf(body))
    .resources.filter(
      (resource) =>
        resource.namespaced &&
        !resource.name.includes('/') &&
        resource.verbs.includes('list') &&
        !LEFT_BY_PROGRAMS.has(resource.kind),
    )
  for (const {kind} of kinds) {
    const objects = await kube.list({apiVersion, kind, namespace})
    const other = objects.find((object) => isForeign(object, name))
    if (other !== undefined) return `${describeRef(refOf(other))} is in it`
  }
  return undefined
}

function isForeign({kind, metadata}: KubeObject, name: ReleaseName): boolean {
  const {labels = {}, ownerReferences, deletionTimestamp} = metadata
  const isOwn =
    labels[APPLYSET.partOf] === applySetId(name) || labels[CREATED_ONCE_LABEL] === applySetId(name)
  // Its owner is looked at by itself.
  const isOwned = Array.isArray(ownerReferences) && ownerReferences.length > 0
  return (
    !isOwn && !isOwned && deletionTimestamp === undefined && !ALWAYS_THERE.has(`${kind} ${metadata.name}`)
  )
}
