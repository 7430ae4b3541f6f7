import {promisify} from 'node:util'
import {gunzip, gzip} from 'node:zlib'
import {z} from 'zod'
import {SYSTEM_NAMESPACE} from '../../api/names.ts'
import {objectName} from '../../api/object-names.ts'
import type {KubeClient, KubeObject, KubeReader} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {contentSchema, digestOf, type Content} from './content.ts'
import {stackSchema} from './stack-schema.ts'

/** Labels of what is kept of a stack: its name. */
const REVISION_LABEL = 'clouder.dev/stack-revision'
const CONTENT_LABEL = 'clouder.dev/stack-content'
const SECRET_TYPE = 'clouder.dev/stack'
const KEPT_REVISIONS = 10

const serviceStateSchema = z.strictObject({
  /**
   * `waiting`: not begun, also because a run was killed. `applying`: begun. `deployed`: its gate has passed. `failed`: it was
   * rolled back where there was something to roll back to. `skipped`: something that it needs has failed.
   */
  state: z.enum(['waiting', 'applying', 'deployed', 'failed', 'skipped']),
  message: z.string().optional(),
  /** Digest of what was applied; absent: nothing was yet. */
  content: z.string().optional(),
})
export type ServiceState = Readonly<z.output<typeof serviceStateSchema>>

export const stackRevisionSchema = z.strictObject({
  stack: z.string(),
  revision: z.int(),
  environment: z.string().optional(),
  /** The stack with its environment merged in; references are in it, no values. */
  document: stackSchema,
  state: z.enum(['applying', 'deployed', 'failed', 'superseded']),
  appliedAt: z.string(),
  /** The revision that it brings back. */
  rollbackTo: z.int().optional(),
  services: z.record(z.string(), serviceStateSchema),
})
export type StackRevision = Readonly<z.output<typeof stackRevisionSchema>>

const secretSchema = z.looseObject({data: z.looseObject({content: z.string()})})

const packed = async (value: unknown): Promise<string> =>
  (await promisify(gzip)(JSON.stringify(value))).toString('base64')

async function unpacked(object: KubeObject): Promise<unknown> {
  const {data} = secretSchema.parse(object)
  const value: unknown = JSON.parse(
    (await promisify(gunzip)(Buffer.from(data.content, 'base64'))).toString('utf8'),
  )
  return value
}

const secretOf = (name: string, labels: Readonly<Record<string, string>>, content: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Secret',
  metadata: {name, namespace: SYSTEM_NAMESPACE, labels},
  type: SECRET_TYPE,
  data: {content},
})

const revisionName = (stack: string, revision: number): string => `clouder-graph-${stack}-v${revision}`
const contentName = (stack: string, service: string, digest: string): string =>
  objectName(['clouder-graph', stack, service, digest])

/** All kept revisions of a stack, the newest first. */
export async function stackRevisions(kube: KubeReader, stack: string): Promise<readonly StackRevision[]> {
  const found = await kube.list({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: SYSTEM_NAMESPACE,
    labelSelector: `${REVISION_LABEL}=${stack}`,
  })
  const revisions = await Promise.all(
    found.map(async (object) => stackRevisionSchema.parse(await unpacked(object))),
  )
  return revisions.toSorted((a, b) => b.revision - a.revision)
}

/** Names of all stacks in the cluster. */
export async function stackNames(kube: KubeReader): Promise<readonly string[]> {
  const found = await kube.list({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: SYSTEM_NAMESPACE,
    labelSelector: REVISION_LABEL,
  })
  return [...new Set(found.flatMap(({metadata}) => metadata.labels?.[REVISION_LABEL] ?? []))].toSorted()
}

/** A revision of a stack, the newest where none is named. Throws PlatformError STACK_UNKNOWN, STACK_REVISION_UNKNOWN. */
export async function stackRevision(
  kube: KubeReader,
  stack: string,
  revision?: number,
): Promise<StackRevision> {
  const all = await stackRevisions(kube, stack)
  const [newest] = all
  if (newest === undefined) {
    const known = await stackNames(kube)
    throw new PlatformError('STACK_UNKNOWN', `the cluster has no stack ${stack}`, {
      suggestions: [
        known.length === 0 ? 'it has none' : `known: ${known.join(', ')}`,
        'clouder stack apply FILE',
      ],
    })
  }
  const found = revision === undefined ? newest : all.find((one) => one.revision === revision)
  if (found !== undefined) return found
  throw new PlatformError(
    'STACK_REVISION_UNKNOWN',
    `stack ${stack} has no revision ${revision}; kept are ${all.map((one) => one.revision).join(', ')}`,
    {suggestions: [`clouder stack status ${stack}`]},
  )
}

/** Writes what is known of a revision. Only for the holder of the lock of the stack. */
export async function writeRevision(kube: KubeClient, revision: StackRevision): Promise<void> {
  const {stack} = revision
  const name = revisionName(stack, revision.revision)
  const secret = secretOf(name, {[REVISION_LABEL]: stack}, await packed(revision))
  if ((await kube.create(secret)) !== undefined) return
  const {data} = secretSchema.parse(secret)
  await kube.patch({apiVersion: 'v1', kind: 'Secret', name, namespace: SYSTEM_NAMESPACE}, {data})
}

/** Keeps what a service was applied as, under its digest; the same content is kept once. `known`: it is there already. */
export async function keepContent(
  kube: KubeClient,
  stack: string,
  service: string,
  content: Content,
  known: string | undefined,
): Promise<string> {
  const digest = digestOf(content)
  if (digest === known) return digest
  const secret = secretOf(
    contentName(stack, service, digest),
    {[CONTENT_LABEL]: stack},
    await packed(content),
  )
  await kube.create(secret)
  return digest
}

/** What a service was applied as. Throws PlatformError STACK_REVISION_UNKNOWN. */
export async function contentOf(
  kube: KubeReader,
  stack: string,
  service: string,
  digest: string,
): Promise<Content> {
  const name = contentName(stack, service, digest)
  const found = await kube.get({apiVersion: 'v1', kind: 'Secret', name, namespace: SYSTEM_NAMESPACE})
  if (found !== undefined) return contentSchema.parse(await unpacked(found))
  throw new PlatformError(
    'STACK_REVISION_UNKNOWN',
    `Secret ${SYSTEM_NAMESPACE}/${name}, which holds service ${service} of stack ${stack}, does not exist`,
    {suggestions: ['clouder stack apply FILE']},
  )
}

/** Deletes revisions that are too old, and what only they need. */
export async function forgetOld(kube: KubeClient, stack: string): Promise<void> {
  const all = await stackRevisions(kube, stack)
  const kept = all.slice(0, KEPT_REVISIONS)
  for (const {revision} of all.slice(KEPT_REVISIONS)) {
    await deleteSecret(kube, revisionName(stack, revision))
  }
  const needed = new Set(
    kept.flatMap(({services}) =>
      Object.entries(services).flatMap(([service, {content}]) =>
        content === undefined ? [] : [contentName(stack, service, content)],
      ),
    ),
  )
  for (const name of await contentNames(kube, stack)) if (!needed.has(name)) await deleteSecret(kube, name)
}

/** Deletes everything that is kept of a stack. */
export async function forgetStack(kube: KubeClient, stack: string): Promise<void> {
  for (const name of await contentNames(kube, stack)) await deleteSecret(kube, name)
  for (const {revision} of await stackRevisions(kube, stack))
    await deleteSecret(kube, revisionName(stack, revision))
}

async function contentNames(kube: KubeReader, stack: string): Promise<readonly string[]> {
  const found = await kube.list({
    apiVersion: 'v1',
    kind: 'Secret',
    namespace: SYSTEM_NAMESPACE,
    labelSelector: `${CONTENT_LABEL}=${stack}`,
  })
  return found.map(({metadata}) => metadata.name)
}

const deleteSecret = (kube: KubeClient, name: string): Promise<void> =>
  kube.delete({apiVersion: 'v1', kind: 'Secret', name, namespace: SYSTEM_NAMESPACE})
