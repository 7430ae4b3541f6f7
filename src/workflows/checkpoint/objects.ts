import {z} from 'zod'
import {API_VERSION, RESTORE_ANNOTATION} from '../../api/names.ts'
import {objectName} from '../../api/object-names.ts'
import {podSchema, type Pod} from '../../kubernetes/pod.ts'
import {jsonOf} from '../../base/json.ts'
import {readable} from '../../base/readable.ts'
import {RESOURCES, type ResourceKind} from '../../api/resources.ts'
import {AbortError, ConfigError, errorMessage, isTransient, TimeoutError} from '../../base/errors.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {accepted} from '../../kubernetes/answers.ts'
import type {KubeClient, KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'
import {distanceOf} from '../../spec/problems.ts'
import {isTimeUp, pause, retry, waitFor} from '../../base/waiting.ts'
import type {Tools} from '../session/types.ts'

const POLL_MS = 50
/** So long an API server may be away or busy before that is the result. */
const BUSY_MS = 30_000
const BUSY_POLL_MS = 1_000
/** An API server is away for longer than that only if nobody brings it back: a kubelet waits 5 min between its starts. */
const OUTAGE_MS = 30 * 60_000
/** What is not there is read again for so long: an API server that starts may not know yet what it has. */
const GONE_MS = 1_000
/** A kubelet lists containers once a second. */
const REPORTED_MS = 5_000
/** Nothing in the cluster takes longer; a store that is far away may need most of it. */
const FOLLOW_TIMEOUT_MS = 6 * 3_600_000

/** A reference to an object of ours; without a namespace for kinds that have none. */
export function refTo(kind: ResourceKind, name: string, namespace?: string): ObjectRef {
  return {apiVersion: API_VERSION, kind, name, ...(namespace === undefined ? {} : {namespace})}
}

/** Makes an object of ours; false: there is one of that name. Throws KubernetesError API_REJECTED with the server's words. */
export async function createObject(
  kube: KubeClient,
  kind: ResourceKind,
  object: {readonly name: string; readonly namespace?: string; readonly spec: object},
  signal: AbortSignal,
): Promise<boolean> {
  const {name, namespace, spec} = object
  const scope = namespace === undefined ? '' : `/namespaces/${encodeURIComponent(namespace)}`
  const metadata = {name, ...(namespace === undefined ? {} : {namespace})}
  const body = JSON.stringify({apiVersion: API_VERSION, kind, metadata, spec})
  const path = `/apis/${API_VERSION}${scope}/${RESOURCES[kind].plural}`
  const what = `create ${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`
  const attempt = async (): Promise<boolean> => {
    const answer = await kube.post(path, body, signal)
    if (answer.status === 409) return false
    accepted(answer, what)
    return true
  }
  return retry(attempt, {timeoutMs: BUSY_MS, intervalMs: BUSY_POLL_MS, signal, again: isTransient})
}

/**
 * Makes an object under a name of a pod and the time, and gives that name. Of two in one second the later one gets a
 * number, unless `isAsked` says of the other that it is the very thing that is wanted.
 */
export async function createNamed(
  kube: KubeClient,
  kind: ResourceKind,
  object: {readonly pod: string; readonly namespace: string; readonly spec: object},
  isAsked: (other: KubeObject) => boolean,
  {signal, now}: Pick<Tools, 'signal' | 'now'>,
): Promise<string> {
  const {pod, namespace, spec} = object
  const first = nameFor(pod, now())
  for (let number = 1; ; number += 1) {
    const name = number === 1 ? first : `${first}-${number}`
    if (await createObject(kube, kind, {name, namespace, spec}, signal)) return name
    const other = await kube.get(refTo(kind, name, namespace))
    if (other !== undefined && isAsked(other)) return name
  }
}

/** What the API server says of a refusal. */
export function messageOf(body: string): string {
  const parsed = z.looseObject({message: z.string()}).safeParse(jsonOf(body))
  return parsed.success ? parsed.data.message : body.slice(0, 300)
}

/** An object as its schema reads it, without what the server keeps for itself. */
export const readAs = <T>(schema: z.ZodType<T>, object: KubeObject): T => schema.parse(withoutManaged(object))

function withoutManaged({metadata, ...rest}: KubeObject): object {
  const {managedFields, ...kept} = metadata
  return {...rest, metadata: kept}
}

/** Objects of a kind as its schema reads them, by namespace and name; one that is not valid says so itself. */
export async function listObjects<T extends {metadata: {name: string; namespace?: string | undefined}}>(
  kube: KubeReader,
  kind: ResourceKind,
  schema: z.ZodType<T>,
  namespace?: string,
): Promise<readonly T[]> {
  const found = await kube.list({
    apiVersion: API_VERSION,
    kind,
    ...(namespace === undefined ? {} : {namespace}),
  })
  const placeOf = ({metadata}: T) => `${metadata.namespace ?? ''}/${metadata.name}`
  const lean = found.map(withoutManaged)
  return readable(lean, schema, () => undefined).toSorted((a, b) => placeOf(a).localeCompare(placeOf(b)))
}

export interface Following<T> {
  readonly ref: ObjectRef
  readonly schema: z.ZodType<T>
  /** `default/web`, for people. */
  readonly title: string
  /** What is seen now, for people; `value`: the end. Throws when it ended badly. */
  readonly look: (object: T) => {readonly value?: string; readonly seen: string}
  /** How to see later what becomes of it. */
  readonly lookAgain: string
}

/**
 * Follows an object until it has ended, and tells how far it is. The object is at work in the cluster by itself: when
 * the user stops this, it goes on. Throws what `look` throws, AbortError INTERRUPTED, TimeoutError where the signal is one of a time.
 */
export async function follow<T>(
  kube: KubeReader,
  {ref, schema, title, look, lookAgain}: Following<T>,
  tools: Pick<Tools, 'report' | 'signal' | 'now'>,
): Promise<T> {
  const task = ref.kind.toLowerCase()
  const startedMs = tools.now()
  const {report} = tools
  report({type: 'task-started', task, title})
  let goneSinceMs: number | undefined
  try {
    const {object, text} = await waitFor({
      what: `${task} ${title}`,
      check: async () => {
        const found = await kube.get(ref)
        if (found === undefined) {
          goneSinceMs ??= performance.now()
          if (performance.now() - goneSinceMs >= GONE_MS) throw gone(ref)
          return {seen: `${ref.kind} not found`}
        }
        goneSinceMs = undefined
        const object = readAs(schema, found)
        const {value, seen} = look(object)
        return value === undefined ? {seen} : {value: {object, text: value}, seen}
      },
      timeoutMs: FOLLOW_TIMEOUT_MS,
      intervalMs: POLL_MS,
      signal: tools.signal,
      onSeen: (text) => report({type: 'task-progress', task, text}),
      outageMs: OUTAGE_MS,
      onAway: (problem) =>
        report({type: 'note', level: 'warning', text: `waiting for the API server: ${problem}`}),
      onBack: () => report({type: 'note', level: 'info', text: 'the API server responds again'}),
    })
    report({type: 'task-done', task, durationMs: tools.now() - startedMs, text})
    return object
  } catch (error) {
    const durationMs = tools.now() - startedMs
    const message = errorMessage(error)
    report({
      type: 'task-failed',
      task,
      durationMs,
      message: tools.signal.aborted ? 'no longer followed' : message,
    })
    if (!tools.signal.aborted) throw error
    if (isTimeUp(tools.signal)) {
      throw new TimeoutError(`${title} did not finish in time; the cluster continues with it`, {
        cause: error,
        suggestions: [lookAgain],
      })
    }
    throw new AbortError('INTERRUPTED', `stopped waiting; the cluster continues with it: ${lookAgain}`, {
      cause: error,
    })
  }
}

const gone = ({kind, namespace = '', name}: ObjectRef): CheckpointError =>
  new CheckpointError(
    kind === 'Migration' ? 'MIGRATION_FAILED' : 'CHECKPOINT_UNKNOWN',
    `${kind} ${namespace}/${name} was deleted while it was waited for`,
  )

export interface PodTarget {
  readonly namespace: string
  readonly pod: string
  readonly container?: string
}

/**
 * The pod that is meant, which runs. With a signal, one that was just restored is waited for until its kubelet reports
 * that it runs, which takes up to a second. Throws CheckpointError POD_NOT_FOUND with names that are near.
 */
export async function runningPod(
  kube: KubeReader,
  {namespace, pod, container}: PodTarget,
  signal?: AbortSignal,
): Promise<Pod> {
  const read = async (): Promise<Pod> => {
    const found = await kube.get({apiVersion: 'v1', kind: 'Pod', namespace, name: pod})
    if (found === undefined) throw await noPod(kube, namespace, pod)
    return podSchema.parse(found)
  }
  let parsed = await read()
  const deadlineMs = performance.now() + REPORTED_MS
  while (signal !== undefined && isBeingRestored(parsed) && performance.now() < deadlineMs) {
    await pause(POLL_MS, signal)
    parsed = await read()
  }
  const {phase} = parsed.status
  if (phase !== 'Running' || parsed.metadata.deletionTimestamp !== undefined) {
    const state = parsed.metadata.deletionTimestamp === undefined ? (phase ?? 'new') : 'terminating'
    throw new CheckpointError('POD_NOT_FOUND', `pod ${namespace}/${pod} is not running: it is ${state}`, {
      suggestions: [`clouder kubectl -- describe pod ${pod} --namespace ${namespace}`],
    })
  }
  const names = parsed.spec.containers.map(({name}) => name)
  if (container !== undefined && !names.includes(container)) {
    throw new CheckpointError(
      'POD_NOT_FOUND',
      `pod ${namespace}/${pod} has no container ${JSON.stringify(container)}, it has ${names.join(', ')}`,
    )
  }
  return parsed
}

const isBeingRestored = ({metadata, status}: Pod): boolean =>
  metadata.annotations[RESTORE_ANNOTATION] !== undefined &&
  metadata.deletionTimestamp === undefined &&
  status.phase === 'Pending'

async function noPod(kube: KubeReader, namespace: string, pod: string): Promise<CheckpointError> {
  const all = await kube.list({apiVersion: 'v1', kind: 'Pod'})
  const here = all.filter(({metadata}) => metadata.namespace === namespace).map(placeOf)
  const elsewhere = all.filter(({metadata}) => metadata.namespace !== namespace).map(placeOf)
  const wanted = `${namespace}/${pod}`
  const near = [...nearNames(wanted, here), ...elsewhere.filter((place) => place.endsWith(`/${pod}`))]
  return new CheckpointError('POD_NOT_FOUND', `there is no pod ${wanted}`, {
    suggestions:
      near.length > 0
        ? [`similar: ${near.slice(0, 5).join(', ')}`]
        : here.length > 0
          ? [`pods of ${namespace}: ${here.slice(0, 8).join(', ')}`]
          : ['clouder kubectl -- get pods -A'],
  })
}

const placeOf = ({metadata}: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`

/** Names that somebody may have meant, nearest first. */
export function nearNames(wanted: string, known: readonly string[]): readonly string[] {
  return known
    .map((name) => ({name, distance: name.startsWith(wanted) ? 0 : distanceOf(wanted, name)}))
    .filter(({distance}) => distance <= Math.max(2, wanted.length / 5))
    .sort((a, b) => a.distance - b.distance)
    .map(({name}) => name)
}

/** Makes sure that there is such a node. Throws ConfigError FLAG_INVALID with the names that there are. */
export async function needNode(kube: KubeReader, node: string): Promise<void> {
  const nodes = await kube.list({apiVersion: 'v1', kind: 'Node'})
  if (nodes.some(({metadata}) => metadata.name === node)) return
  throw new ConfigError(
    'FLAG_INVALID',
    `no node ${JSON.stringify(node)}, expected one of ${nodes.map(({metadata}) => metadata.name).join(', ')}`,
  )
}

/** `20261121-091402`: part of names that must not meet. */
export function timeName(nowMs: number): string {
  return new Date(nowMs).toISOString().slice(0, 19).replaceAll(/[-:]/g, '').replace('T', '-')
}

/** A name that a number can be added to within the 63 letters of a label: `web-20261121-091402`. */
export function nameFor(pod: string, nowMs: number): string {
  return objectName([pod, timeName(nowMs)], 60)
}
