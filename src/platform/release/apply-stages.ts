import pLimit from 'p-limit'
import {waitFor} from '../../base/waiting.ts'
import {TimeoutError} from '../../base/errors.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {DeleteOptions, KubeClient, KubeObject} from '../../kubernetes/types.ts'
import {PlatformError} from '../errors.ts'
import {deleteAndWait, waitGone} from './deletion.ts'
import {FORMER_FIELD_MANAGER, fieldManagerOf, keyOf, keyOfObject} from './identity.ts'
import {asCreatedOnce, asMembers} from './inventory.ts'
import {explainNotReady} from './explain.ts'
import {freeNamespaces} from './namespaces.ts'
import {appliedEntry} from './owned-fields.ts'
import {notReady} from './readiness.ts'
import {APPLY_VERBS, permitted} from './refusals.ts'
import {
  definedKinds,
  definitionOf,
  hasWebhooks,
  inOrder,
  isDefinition,
  isServedByWorkload,
  stageOf,
} from './stages.ts'
import type {ObjectChange, Release} from './types.ts'

const CONCURRENCY = 8
const SERVED_TIMEOUT_MS = 60_000
/** Workloads that the API server calls are given so long. */
const WORKLOADS_TIMEOUT_MS = 5 * 60_000
const POLL_MS = 250

export interface StageOptions {
  readonly signal: AbortSignal
  readonly progress: (text: string) => void
  readonly terminatingMs?: number
}

/** Applies what a plan changes, stage by stage; nothing is pruned. */
export async function applyStages(
  kube: KubeClient,
  release: Release,
  changes: readonly ObjectChange[],
  live: ReadonlyMap<string, KubeObject>,
  options: StageOptions,
): Promise<void> {
  const {signal, progress} = options
  const actions = new Map(changes.map((change) => [keyOf(change.ref), change.action]))
  const once = asCreatedOnce(release)
  const onceKeys = new Set(once.map(keyOfObject))
  const members = asMembers(release, live)
  await freeNamespaces(kube, [...members, ...once], options)
  const defined = definedKinds(release.objects)
  const limit = pLimit(CONCURRENCY)
  const changed = [...once, ...members].filter((object) => actions.has(keyOfObject(object)))
  let isGateOpen = false
  for (const group of inOrder(changed, defined)) {
    const [first] = group
    if (first === undefined) continue
    const stage = stageOf(first, defined)
    const needsWorkloads =
      (stage === 'custom-resources' && hasWebhooks(release.objects)) || group.some(isServedByWorkload)
    if (needsWorkloads && !isGateOpen) {
      await workloadsServe(kube, release, options)
      isGateOpen = true
    }
    const names =
      group.length === 1
        ? describeRef(refOf(first))
        : `${group.length} objects, such as ${describeRef(refOf(first))}`
    progress(`applying ${names}`)
    const results = await Promise.allSettled(
      group.map((object) =>
        limit(async () => {
          signal.throwIfAborted()
          if (onceKeys.has(keyOfObject(object))) await createOnce(kube, object)
          else await applyObject(kube, release, object, actions.get(keyOfObject(object)), options)
        }),
      ),
    )
    for (const result of results) if (result.status === 'rejected') throw result.reason
    if (stage === 'definitions') await definitionsServed(kube, group, options)
  }
}

async function createOnce(kube: KubeClient, object: KubeObject): Promise<void> {
  await permitted(kube, refOf(object), ['get', 'create'], () => kube.create(object))
}

async function applyObject(
  kube: KubeClient,
  release: Release,
  object: KubeObject,
  action: ObjectChange['action'] | undefined,
  options: StageOptions,
): Promise<void> {
  const ref = refOf(object)
  const manager = fieldManagerOf(release)
  if (action === 'replace') {
    const live = await kube.get(ref)
    const propagation: DeleteOptions['propagation'] = object.kind === 'StatefulSet' ? 'Orphan' : 'Foreground'
    if (live !== undefined) await deleteAndWait(kube, live, {...options, propagation})
  }
  const apply = (): Promise<KubeObject> =>
    permitted(kube, ref, APPLY_VERBS, () => kube.applyAs(manager, object, options.signal))
  let made = await apply()
  if (made.metadata.deletionTimestamp !== undefined && object.kind !== 'Namespace') {
    await waitGone(kube, made, options)
    made = await apply()
  }
  if (appliedEntry(made, FORMER_FIELD_MANAGER) === undefined) return
  const {apiVersion, kind, name, namespace} = ref
  const nothing = {apiVersion, kind, metadata: {name, ...(namespace === undefined ? {} : {namespace})}}
  await kube.applyAs(FORMER_FIELD_MANAGER, nothing, options.signal)
}

/** A kind is there for requests a moment after its definition. */
async function definitionsServed(
  kube: KubeClient,
  definitions: readonly KubeObject[],
  {signal}: StageOptions,
): Promise<void> {
  const paths = definitions.filter(isDefinition).flatMap((definition) => {
    const {group, names, versions} = definitionOf(definition)
    return versions
      .filter(({served}) => served !== false)
      .map(({name}) => `/apis/${group}/${name}/${names.plural}?limit=1`)
  })
  await waitFor({
    what: 'the custom resources of the release to be served',
    check: async () => {
      const answers = await Promise.all(
        paths.map(async (path) => ({path, ...(await kube.fetch(path, signal))})),
      )
      // 403: it is served, and may not be listed.
      const absent = answers.filter(({status}) => status !== 200 && status !== 403)
      const seen = absent.map(({path, status}) => `${path}: ${status}`).join(', ')
      return absent.length === 0 ? {value: true, seen: 'served'} : {seen}
    },
    timeoutMs: SERVED_TIMEOUT_MS,
    intervalMs: POLL_MS,
    signal,
  })
}

/** What the API server calls must answer first: until then each request that it concerns fails. */
async function workloadsServe(kube: KubeClient, release: Release, options: StageOptions): Promise<void> {
  const {signal, progress} = options
  const workloads = release.objects.filter(({kind}) =>
    ['Deployment', 'StatefulSet', 'DaemonSet'].includes(kind),
  )
  try {
    await waitFor({
      what: 'the workloads that the API server calls',
      check: async () => {
        const open = await notReady(kube, workloads)
        const seen = open.map(({ref, problem}) => `${describeRef(ref)}: ${problem}`).join('; ')
        return open.length === 0 ? {value: true, seen: 'ready'} : {seen}
      },
      timeoutMs: WORKLOADS_TIMEOUT_MS,
      intervalMs: 2 * POLL_MS,
      signal,
      onSeen: (seen) => progress(`waiting for ${seen}`),
    })
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    const text = await explainNotReady(kube, await notReady(kube, workloads))
    throw new PlatformError(
      'RELEASE_NOT_READY',
      `the workloads of ${release.owner} ${release.name} that the API server calls are not ready:\n${text}`,
      {cause: error},
    )
  }
}
