import {readFile} from 'node:fs/promises'
import {API_VERSION} from '../../../api/names.ts'
import type {RestoreAnswer} from '../../../api/handler-protocol.ts'
import {migrationSchema, type Migration} from '../../../api/resources.ts'
import {pause} from '../../../base/waiting.ts'
import {unlessMissing} from '../../../base/system-errors.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {Pod} from '../../../kubernetes/pod.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import {checkpointRef, parseCheckpoint, type Named} from '../checkpoint-object.ts'
import {moveOf} from '../move-gate.ts'
import type {Preparations} from '../prepare.ts'
import type {AgentTools} from '../tools.ts'
import {transferKey} from '../transfer/access.ts'
import type {WantedPages} from '../transfer/wanted-dump.ts'
import {writeStatusIf} from '../write-status.ts'

type Pages = NonNullable<NonNullable<NonNullable<Migration['status']>['transfer']>['pages']>
type WriteTools = Pick<AgentTools, 'kube' | 'now' | 'signal'>

const refOf = ({metadata}: Pick<Migration, 'metadata'>) => ({
  ...{apiVersion: API_VERSION, kind: 'Migration', name: metadata.name},
  namespace: metadata.namespace ?? '',
})

/**
 * Connects to the page server of the source, before the source is given up. Throws CheckpointError TRANSFER_FAILED when
 * that is not possible.
 */
export async function connectPages(
  migration: Migration,
  checkpoint: Named,
  tools: WriteTools & Pick<AgentTools, 'incomingPages' | 'openPages' | 'node'>,
): Promise<void> {
  const {incomingPages, openPages, node, signal} = tools
  if (incomingPages.socketOf(checkpoint.uid) !== undefined) return
  const {nodeName: source = '', transfer: offered} = checkpoint.status ?? {}
  if (offered?.publicKey === undefined)
    throw new CheckpointError(
      'TRANSFER_FAILED',
      `the node agent of ${source} has published no key for memory`,
    )
  const key = transferKey()
  const isSame = (now: KubeObject): boolean =>
    now.metadata.uid === migration.metadata.uid && migrationSchema.parse(now).status?.targetNodeName === node
  const transfer = {publicKey: key.publicKey}
  if (!(await writeStatusIf(refOf(migration), isSame, {transfer}, tools)))
    throw new CheckpointError('TRANSFER_FAILED', 'the move was given up')
  const wanted: WantedPages = {
    namespace: checkpoint.namespace,
    checkpoint: checkpoint.name,
    checkpointUid: checkpoint.uid,
    migration: migration.metadata.name,
    source,
    target: node,
    sourceKey: offered.publicKey,
  }
  const connection = await openPages(wanted, (channel) => key.headersOf(wanted, channel), signal)
  await incomingPages.keep(checkpoint.uid, connection)
}

export interface LazyTools extends WriteTools, Pick<AgentTools, 'incomingPages' | 'log'> {
  readonly preparations: Pick<Preparations, 'pagesState'>
}

/**
 * How the memory of a container comes that is about to be restored; undefined: it is there. From then on its processes
 * count as running, which is in the status of the Migration before. Throws CheckpointError RESTORE_FAILED.
 */
export async function lazyPages(
  pod: Pod,
  {container, checkpoint: name}: {readonly container: string; readonly checkpoint: string},
  tools: LazyTools,
): Promise<Extract<RestoreAnswer, {action: 'restore'}>['pages']> {
  const {kube, incomingPages, preparations} = tools
  const {namespace, uid} = pod.metadata
  const object = await kube.get(checkpointRef({namespace, name}))
  const checkpoint = object === undefined ? undefined : parseCheckpoint(object)
  if (checkpoint?.spec.transfer?.lazy !== true) return undefined
  const socket = incomingPages.socketOf(checkpoint.uid)
  const migration = await moveOf(namespace, name, kube)
  if (migration === undefined) throw failed('the move no longer exists')
  const mayStart = (now: KubeObject): boolean => {
    const {status = {}} = migrationSchema.parse(now)
    const isMoving = status.phase === 'Moving' || status.phase === 'Verifying'
    return (
      now.metadata.uid === migration.metadata.uid &&
      isMoving &&
      status.newPodName === pod.metadata.name &&
      status.transfer?.pages === undefined
    )
  }
  if (socket === undefined) {
    const pages: Pages = {state: 'NotStarted', message: 'the connection to the source ended'}
    await writeStatusIf(refOf(migration), mayStart, {transfer: {pages}}, tools)
    throw failed('the connection to the page server of the source ended')
  }
  const pages: Pages = {state: 'Starting', message: 'its processes may run from now on'}
  if (!(await writeStatusIf(refOf(migration), mayStart, {transfer: {pages}}, tools)))
    throw failed('its memory was requested before, or the move was given up')
  return {socket, state: preparations.pagesState(uid, container)}
}

/** Refuses to start a container anew whose memory did not all arrive: its Migration tells of it. */
export async function refuseLost(
  podUid: string,
  container: string,
  preparations: Pick<Preparations, 'pagesState'>,
): Promise<void> {
  const found = await stateIn(preparations.pagesState(podUid, container))
  if (found !== undefined && found.state !== 'Complete')
    throw failed(`its memory did not arrive: ${found.message ?? ''}`)
}

const failed = (why: string): CheckpointError =>
  new CheckpointError('RESTORE_FAILED', `the pod cannot be restored with lazy memory: ${why}`)

const STATES: Readonly<Record<string, Pages['state']>> = {
  'not-started': 'NotStarted',
  complete: 'Complete',
  lost: 'Lost',
}

/** What the restore handler wrote (src/bundle/modules/restore/lazy.go); undefined: nothing yet. */
async function stateIn(path: string): Promise<Pages | undefined> {
  const text = await readFile(path, 'utf8').catch(unlessMissing)
  if (text === undefined) return undefined
  const [first = '', ...rest] = text.split('\n')
  const message = rest.join('\n')
  return {state: STATES[first] ?? 'Lost', ...(message === '' ? {} : {message})}
}

const LOOK_EVERY_MS = 100
const TELL_EVERY_MS = 1000
/** The handler writes a result some moments after the connection has ended. */
const RESULT_MS = 15_000

/** Whether a Migration waits for the agent of that node to say that all memory has arrived. */
export function isToFollow(object: KubeObject, node: string): boolean {
  const {status = {}} = migrationSchema.parse(object)
  const {phase, targetNodeName, transfer} = status
  const runs = phase === 'Moving' || phase === 'Verifying' || phase === 'RollingBack'
  return runs && targetNodeName === node && transfer?.pages?.state === 'Starting'
}

/** Follows the memory of one Migration until all has arrived, or is lost, and reports it. */
export async function followPages(
  object: KubeObject,
  tools: LazyTools & Pick<AgentTools, 'node'>,
): Promise<void> {
  const {kube, node, incomingPages, preparations, now, log, signal} = tools
  const migration = migrationSchema.parse(object)
  const {namespace = ''} = migration.metadata
  const {checkpointName = ''} = migration.status ?? {}
  const taken = await kube.get(checkpointRef({namespace, name: checkpointName}))
  const checkpoint = taken === undefined ? undefined : parseCheckpoint(taken)
  const container = checkpoint?.status?.containers?.[0]?.name
  if (checkpoint === undefined || container === undefined) return
  const isSame = (read: KubeObject): boolean =>
    read.metadata.uid === migration.metadata.uid && isToFollow(read, node)
  const tell = async (pages: Pages): Promise<void> => {
    await writeStatusIf(refOf(migration), isSame, {transfer: {pages}}, tools)
  }
  let [toldAtMs, endedAtMs] = [now(), Number.NaN]
  for (let podUid = migration.status?.newPodUID; ;) {
    signal.throwIfAborted()
    const found = podUid === undefined ? undefined : await stateIn(preparations.pagesState(podUid, container))
    const receivedBytes = incomingPages.receivedBytes(checkpoint.uid)
    if (found !== undefined) {
      log(found.state === 'Complete' ? 'info' : 'warn', 'the memory of a pod has arrived, or is lost', {
        migration: migration.metadata.name,
        ...found,
      })
      await tell({...found, ...(found.message === undefined ? {message: ''} : {})})
      incomingPages.close(checkpoint.uid)
      return
    }
    if (receivedBytes !== undefined) endedAtMs = Number.NaN
    else if (Number.isNaN(endedAtMs)) endedAtMs = now()
    if (now() - endedAtMs > RESULT_MS) {
      await tell({state: 'Lost', message: 'the connection to the source ended'})
      return
    }
    if (now() - toldAtMs >= TELL_EVERY_MS) {
      toldAtMs = now()
      const read = await kube.get(refOf(migration))
      if (read === undefined || !isSame(read)) return
      podUid = migrationSchema.parse(read).status?.newPodUID
      if (receivedBytes !== undefined) await tell({state: 'Starting', receivedBytes})
    }
    podUid ??= await uidOf(migration, tools)
    await pause(LOOK_EVERY_MS, signal)
  }
}

async function uidOf(migration: Migration, {kube}: Pick<AgentTools, 'kube'>): Promise<string | undefined> {
  const read = await kube.get(refOf(migration))
  return read === undefined ? undefined : migrationSchema.parse(read).status?.newPodUID
}
