import {isDeepStrictEqual} from 'node:util'
import {VERIFY_ANNOTATION} from '../../api/names.ts'
import {
  checkpointSchema,
  checkpointSpecSchema,
  checkpointStoreSchema,
  type Checkpoint,
  type CheckpointSpec,
} from '../../api/resources.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import {CheckpointError, type CheckpointErrorCode} from '../../checkpoint/errors.ts'
import {ageOf, byAge} from '../../checkpoint/retention.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import {waitFor} from '../../base/waiting.ts'
import {
  createNamed,
  createObject,
  follow,
  listObjects,
  nearNames,
  readAs,
  refTo,
  runningPod,
  type PodTarget,
} from './objects.ts'
import type {Tools} from '../session/types.ts'

export type CheckpointTools = Pick<Tools, 'report' | 'signal' | 'now'>

export interface CreateOptions extends PodTarget {
  /** Default: pod and time. */
  readonly name?: string
  readonly store: string
  readonly podPolicy: CheckpointSpec['podPolicy']
  readonly keepArchive?: boolean
  /** False: only asks for it. Default true. */
  readonly wait?: boolean
}

const OWNER = 'user'
const GONE_MS = 120_000

/**
 * Asks for a checkpoint of a running pod and follows it to its end. Asked again while one of the same pod is at work,
 * that one is followed. Throws CheckpointError, with the code of what went wrong in the cluster.
 */
export async function createCheckpoint(
  kube: KubeClient,
  options: CreateOptions,
  tools: CheckpointTools,
): Promise<Checkpoint> {
  const {namespace, container} = options
  const pod = await runningPod(kube, options, tools.signal)
  await needStore(kube, options.store)
  const spec = checkpointSpecSchema.parse({
    podRef: {name: options.pod, uid: pod.metadata.uid},
    ...(container === undefined ? {} : {containers: [container]}),
    storeName: options.store,
    podPolicy: options.podPolicy,
    ...(options.keepArchive === true ? {keepArchive: true} : {}),
    owner: OWNER,
  })
  const createNew = (): Promise<string> =>
    createNamed(
      kube,
      'Checkpoint',
      {pod: options.pod, namespace, spec},
      (other) => isUnfinished(readAs(checkpointSchema, other), spec),
      tools,
    )
  const name = options.name ?? (await unfinished(kube, namespace, spec)) ?? (await createNew())
  if (
    options.name !== undefined &&
    !(await createObject(kube, 'Checkpoint', {name, namespace, spec}, tools.signal))
  )
    await needSame(kube, {namespace, name}, spec)
  if (options.wait === false) return readCheckpoint(kube, {namespace, name})
  const made = await followCheckpoint(kube, {namespace, name}, tools)
  if (options.podPolicy === 'Delete') await waitGone(kube, pod, tools)
  return made
}

/** A checkpoint is Ready a moment before its pod, which stands still, is gone and its name is free. */
async function waitGone(kube: KubeReader, {metadata}: Pod, {signal}: CheckpointTools): Promise<void> {
  const {namespace, name, uid} = metadata
  await waitFor({
    what: `pod ${namespace}/${name} to be deleted`,
    check: async () => {
      const now = await kube.get({apiVersion: 'v1', kind: 'Pod', namespace, name})
      return now?.metadata.uid === uid ? {seen: 'still present'} : {value: true, seen: 'gone'}
    },
    timeoutMs: GONE_MS,
    intervalMs: 100,
    signal,
  })
}

export interface ObjectName {
  readonly namespace: string
  readonly name: string
}

/** One that somebody asked for in the same words, and that is still at work. */
async function unfinished(
  kube: KubeReader,
  namespace: string,
  spec: CheckpointSpec,
): Promise<string | undefined> {
  const all = await listObjects(kube, 'Checkpoint', checkpointSchema, namespace)
  return all.find((checkpoint) => isUnfinished(checkpoint, spec))?.metadata.name
}

const isUnfinished = (checkpoint: Checkpoint, spec: CheckpointSpec): boolean =>
  !hasEnded(checkpoint) && isDeepStrictEqual(checkpoint.spec, spec)

const hasEnded = ({status}: Checkpoint): boolean => status?.phase === 'Ready' || status?.phase === 'Failed'

async function needSame(
  kube: KubeReader,
  {namespace, name}: ObjectName,
  spec: CheckpointSpec,
): Promise<void> {
  const there = await readCheckpoint(kube, {namespace, name})
  if (isDeepStrictEqual(there.spec, spec)) return
  throw new CheckpointError(
    'CHECKPOINT_FAILED',
    `another checkpoint ${namespace}/${name} exists, of pod ${there.spec.podRef?.name ?? 'in another cluster'}`,
    {suggestions: ['use another --name', `clouder checkpoint inspect ${namespace}/${name}`]},
  )
}

async function needStore(kube: KubeReader, store: string): Promise<void> {
  const all = await listObjects(kube, 'CheckpointStore', checkpointStoreSchema)
  if (all.some(({metadata}) => metadata.name === store)) return
  const known = all.map(({metadata}) => metadata.name).join(', ')
  throw new CheckpointError('STORE_UNKNOWN', `there is no CheckpointStore ${JSON.stringify(store)}`, {
    suggestions: [known === '' ? 'clouder kubectl -- get checkpointstores' : `known: ${known}`],
  })
}

/** Throws CheckpointError CHECKPOINT_UNKNOWN with names that are near. */
export async function readCheckpoint(kube: KubeReader, {namespace, name}: ObjectName): Promise<Checkpoint> {
  const found = await kube.get(refTo('Checkpoint', name, namespace))
  if (found !== undefined) return readAs(checkpointSchema, found)
  const all = await listObjects(kube, 'Checkpoint', checkpointSchema)
  const places = all.map(({metadata}) => `${metadata.namespace ?? ''}/${metadata.name}`)
  const near = nearNames(`${namespace}/${name}`, places)
  throw new CheckpointError('CHECKPOINT_UNKNOWN', `there is no checkpoint ${namespace}/${name}`, {
    suggestions: [near.length === 0 ? 'clouder checkpoint ls' : `similar: ${near.slice(0, 5).join(', ')}`],
  })
}

/** Follows a checkpoint to its end. */
export function followCheckpoint(
  kube: KubeReader,
  {namespace, name}: ObjectName,
  tools: CheckpointTools,
): Promise<Checkpoint> {
  return follow(
    kube,
    {
      ref: refTo('Checkpoint', name, namespace),
      schema: checkpointSchema,
      title: `${namespace}/${name}`,
      lookAgain: `clouder checkpoint inspect ${namespace}/${name}`,
      look: ({status = {}}) => {
        if (status.phase === 'Failed') {
          throw failureOf(
            status.reason,
            'CHECKPOINT_FAILED',
            status.message ?? 'the cluster reports no reason',
            [`clouder checkpoint doctor ${namespace}/POD`],
          )
        }
        const seen = [status.phase ?? 'waiting for the node agent', status.message].filter(Boolean).join(': ')
        return status.phase === 'Ready' ? {value: status.location ?? 'stored', seen} : {seen}
      },
    },
    tools,
  )
}

/** `reason` of a status is the code of a CheckpointError where our programs know what went wrong. */
export function failureOf(
  reason: string | undefined,
  otherwise: CheckpointErrorCode,
  message: string,
  suggestions: readonly string[] = [],
): CheckpointError {
  const code = isCode(reason) ? reason : otherwise
  const said = message.endsWith('.') ? message.slice(0, -1) : message
  return new CheckpointError(code, said, {suggestions})
}

/** All of them, which the compiler checks: one that is missing would be told as another. */
const codes: Readonly<Record<CheckpointErrorCode, true>> = {
  POD_NOT_FOUND: true,
  CHECKPOINT_UNKNOWN: true,
  CHECKPOINT_FAILED: true,
  RESTORE_FAILED: true,
  RESTORE_UNSUPPORTED: true,
  RESTORE_IMPOSSIBLE: true,
  NODE_UNLIKE: true,
  TOO_LARGE: true,
  TRANSFER_FAILED: true,
  PRIVILEGES_WIDER: true,
  IMAGE_UNAVAILABLE: true,
  MIGRATION_FAILED: true,
  MEMORY_LOST: true,
  STORE_UNKNOWN: true,
  STORE_UNREACHABLE: true,
  STORE_REFUSED: true,
  BLOB_MISSING: true,
  BLOB_TAMPERED: true,
  SIGNATURE_INVALID: true,
  KEY_WRONG: true,
  KEY_UNREACHABLE: true,
  ADDON_MISSING: true,
}

const isCode = (reason: string | undefined): reason is CheckpointErrorCode =>
  reason !== undefined && Object.hasOwn(codes, reason)

/** All checkpoints, or those of a namespace, the newest last. */
export async function listCheckpoints(kube: KubeReader, namespace?: string): Promise<readonly Checkpoint[]> {
  const all = await listObjects(kube, 'Checkpoint', checkpointSchema, namespace)
  return all.toSorted((one, other) => byAge(ageOf(one), ageOf(other)))
}

export interface VerifyResult {
  readonly checkpoint: string
  readonly ok: boolean
  readonly reason?: string
  readonly message: string
}

const VERIFIED_MS = 3_600_000

/** Has an agent read a checkpoint back from its store: every piece there, unchanged, signed, and opened by the cluster's key. */
export async function verifyCheckpoint(
  kube: KubeClient,
  {namespace, name}: ObjectName,
  tools: CheckpointTools,
): Promise<VerifyResult> {
  const checkpoint = `${namespace}/${name}`
  const {status} = await readCheckpoint(kube, {namespace, name})
  if (status?.phase !== 'Ready') {
    const message = `its phase is ${status?.phase ?? 'new'}${status?.message === undefined ? '' : `: ${status.message}`}`
    return {checkpoint, ok: false, reason: 'CHECKPOINT_FAILED', message}
  }
  const ref = refTo('Checkpoint', name, namespace)
  const asked = new Date(tools.now()).toISOString()
  await kube.patch(ref, {metadata: {annotations: {[VERIFY_ANNOTATION]: asked}}})
  const verified = await follow(
    kube,
    {
      ref,
      schema: checkpointSchema,
      title: `verifying ${checkpoint}`,
      lookAgain: `clouder checkpoint verify ${checkpoint}`,
      look: (object) => {
        const {verification} = object.status ?? {}
        const isOurs = verification !== undefined && verification.request >= asked
        return isOurs
          ? {value: verification.message, seen: 'checked'}
          : {seen: `read back from ${status.location ?? 'its store'}`}
      },
    },
    {...tools, signal: AbortSignal.any([tools.signal, AbortSignal.timeout(VERIFIED_MS)])},
  )
  const {ok = false, reason, message = ''} = verified.status?.verification ?? {}
  return {checkpoint, ok, message, ...(reason === undefined ? {} : {reason})}
}

/** Verifies one checkpoint, or every one of a namespace, or of the cluster, that is Ready. */
export async function verifyCheckpoints(
  kube: KubeClient,
  which: {readonly namespace: string | undefined; readonly name?: string},
  tools: CheckpointTools,
): Promise<readonly VerifyResult[]> {
  const {namespace, name} = which
  if (namespace !== undefined && name !== undefined)
    return [await verifyCheckpoint(kube, {namespace, name}, tools)]
  const results: VerifyResult[] = []
  for (const {metadata, status} of await listCheckpoints(kube, namespace)) {
    if (status?.phase !== 'Ready') continue
    const place = {namespace: metadata.namespace ?? '', name: metadata.name}
    results.push(await verifyCheckpoint(kube, place, tools))
  }
  return results
}
