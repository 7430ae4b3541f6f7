import {promisify} from 'node:util'
import {gunzip, gzip} from 'node:zlib'
import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {
  kubeObjectSchema,
  type KubeClient,
  type KubeObject,
  type KubeReader,
  type ObjectRef,
} from '../../kubernetes/types.ts'
import {ENGINE_FIELD_MANAGER, ownerLabels, recordName} from './identity.ts'
import type {ReleaseName, Revision} from './types.ts'

export const REVISION_TYPE = 'clouder.dev/release'
/** So many revisions of a release are kept, and the newest one that was deployed. */
const KEPT = 10
/** Label of a revision: its number. */
const REVISION_LABEL = 'clouder.dev/revision'

const secretSchema = z.looseObject({data: z.looseObject({release: z.string()})})
const revisionSchema = z.object({
  owner: z.enum(['addon', 'stack']),
  name: z.string(),
  revision: z.int(),
  version: z.string(),
  parameters: z.unknown(),
  appliedAt: z.string(),
  state: z.enum(['applying', 'deployed', 'failed', 'superseded']),
  message: z.string().exactOptional(),
  objects: z.array(kubeObjectSchema),
})

/** The newest revision of each release of an owner, by name. */
export async function installedReleases(
  kube: KubeReader,
  owner: ReleaseName['owner'],
): Promise<readonly Revision[]> {
  const found = await revisions(kube, `clouder.dev/${owner},${REVISION_LABEL}`)
  const byName = Map.groupBy(found, ({name}) => name)
  return [...byName.values()]
    .flatMap((all) => all.at(-1) ?? [])
    .toSorted((one, two) => (one.name < two.name ? -1 : 1))
}

/** All revisions that are kept of a release, the oldest first. */
export const revisionsOf = (kube: KubeReader, {owner, name}: ReleaseName): Promise<readonly Revision[]> =>
  revisions(kube, `clouder.dev/${owner}=${name},${REVISION_LABEL}`)

async function revisions(kube: KubeReader, labelSelector: string): Promise<readonly Revision[]> {
  const secrets = await kube.list({
    ...{apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE},
    labelSelector,
  })
  const read = await Promise.all(secrets.filter((secret) => secret['type'] === REVISION_TYPE).map(decoded))
  return read.toSorted((one, two) => one.revision - two.revision)
}

async function decoded(secret: KubeObject): Promise<Revision> {
  const {release} = secretSchema.parse(secret).data
  const text = await promisify(gunzip)(Buffer.from(release, 'base64'))
  const {parameters, ...rest} = revisionSchema.parse(JSON.parse(text.toString('utf8')))
  return {...rest, parameters}
}

export async function writeRevision(
  kube: KubeClient,
  revision: Revision,
  signal: AbortSignal,
): Promise<void> {
  const content = await promisify(gzip)(JSON.stringify(revision))
  const {name, namespace} = revisionRef(revision, revision.revision)
  await kube.applyAs(
    ENGINE_FIELD_MANAGER,
    {
      apiVersion: 'v1',
      kind: 'Secret',
      metadata: {
        name,
        namespace,
        labels: {...ownerLabels(revision), [REVISION_LABEL]: String(revision.revision)},
      },
      type: REVISION_TYPE,
      data: {release: content.toString('base64')},
    },
    signal,
  )
}

const revisionRef = (name: ReleaseName, revision: number) =>
  ({
    ...{apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE},
    name: `${recordName(name)}.v${revision}`,
  }) satisfies ObjectRef

/** Drops the oldest revisions, never the newest one that was deployed. */
export async function trimHistory(kube: KubeClient, name: ReleaseName): Promise<void> {
  const all = await revisionsOf(kube, name)
  const deployed = all.findLast(({state}) => state === 'deployed')
  for (const old of all.slice(0, -KEPT))
    if (old !== deployed) await kube.delete(revisionRef(name, old.revision))
}

export async function deleteHistory(kube: KubeClient, name: ReleaseName): Promise<void> {
  for (const {revision} of await revisionsOf(kube, name)) await kube.delete(revisionRef(name, revision))
}

/** As it is kept: what a Secret holds is left out. */
export const withoutSecrets = (objects: readonly KubeObject[]): readonly KubeObject[] =>
  objects.map((object) => {
    if (object.kind !== 'Secret' || object.apiVersion !== 'v1') return object
    const {data, stringData, metadata, ...rest} = object
    const {annotations, ...named} = metadata
    return {...rest, metadata: named}
  })
