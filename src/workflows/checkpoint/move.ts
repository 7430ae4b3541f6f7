import {isDeepStrictEqual} from 'node:util'
import {
  checkpointPolicySchema,
  migrationSchema,
  policySpecSchema,
  restoreSchema,
  type CheckpointPolicy,
  type Migration,
  type Restore,
} from '../../api/resources.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import {failureOf, readCheckpoint, type CheckpointTools, type ObjectName} from './checkpoint.ts'
import {isRunningThere, type MoveEnd} from './move-end.ts'
import {createNamed, follow, listObjects, needNode, readAs, refTo, runningPod} from './objects.ts'
import type {z} from 'zod'

export interface RestoreOptions extends ObjectName {
  readonly node?: string
  /** Name of the pod to make. */
  readonly as?: string
  readonly backend?: Restore['spec']['backend']
  readonly wait?: boolean
}

/**
 * Makes a pod that goes on from a checkpoint, and follows it until its processes run. Asked again, the one that was asked
 * for before is followed, or told when its pod is there.
 */
export async function restoreCheckpoint(
  kube: KubeClient,
  options: RestoreOptions,
  tools: CheckpointTools,
): Promise<Restore> {
  const {namespace, name: checkpoint, node, as: podName, backend} = options
  const made = await readCheckpoint(kube, {namespace, name: checkpoint})
  const {status} = made
  if (status?.phase === 'Failed')
    throw failureOf(
      status.reason,
      'CHECKPOINT_FAILED',
      `checkpoint ${namespace}/${checkpoint} failed: ${status.message ?? ''}`,
    )
  if (node !== undefined) await needNode(kube, node)
  const spec = {
    checkpointName: checkpoint,
    ...(podName === undefined ? {} : {podName}),
    ...(node === undefined ? {} : {nodeName: node}),
    ...(backend === undefined ? {} : {backend}),
  }
  const uid = await uidOfPod(kube, namespace, podName ?? made.spec.podRef?.name)
  const isAsked = (restore: Restore): boolean =>
    isDeepStrictEqual(restore.spec, restoreSchema.shape.spec.parse(spec)) &&
    restore.status?.phase !== 'Failed' &&
    (restore.status?.phase !== 'Restored' || (uid !== undefined && restore.status.podUID === uid))
  const same = (await listObjects(kube, 'Restore', restoreSchema, namespace)).find(isAsked)
  const wanted = {pod: podName ?? checkpoint, namespace, spec}
  const name =
    same?.metadata.name ??
    (await createNamed(kube, 'Restore', wanted, (other) => isAsked(readAs(restoreSchema, other)), tools))
  if (options.wait === false) return readRestore(kube, {namespace, name})
  return follow(
    kube,
    {
      ref: refTo('Restore', name, namespace),
      schema: restoreSchema,
      title: `${namespace}/${checkpoint}`,
      lookAgain: `clouder kubectl -- get restore ${name} --namespace ${namespace}`,
      look: ({status: now = {}}) => {
        if (now.phase === 'Failed') {
          throw failureOf(now.reason, 'RESTORE_FAILED', now.message ?? 'the cluster reports no reason', [
            ...(now.nodeName === undefined ? [] : [`clouder checkpoint doctor ${now.nodeName}`]),
          ])
        }
        const seen = [now.phase ?? 'waiting for the controller', now.message].filter(Boolean).join(': ')
        return now.phase === 'Restored' ? {value: `on ${now.nodeName ?? 'a node'}`, seen} : {seen}
      },
    },
    tools,
  )
}

/** Of a pod that is there and not on its way out. */
async function uidOfPod(
  kube: KubeReader,
  namespace: string,
  name: string | undefined,
): Promise<string | undefined> {
  if (name === undefined) return undefined
  const found = await kube.get({apiVersion: 'v1', kind: 'Pod', namespace, name})
  return found?.metadata.deletionTimestamp === undefined ? found?.metadata.uid : undefined
}

async function readRestore(kube: KubeReader, {namespace, name}: ObjectName): Promise<Restore> {
  const found = await kube.get(refTo('Restore', name, namespace))
  if (found === undefined)
    throw new CheckpointError('CHECKPOINT_UNKNOWN', `restore ${namespace}/${name} no longer exists`)
  return readAs(restoreSchema, found)
}

export interface MigrateOptions {
  readonly namespace: string
  readonly pod: string
  readonly node?: string
  readonly store: string
  readonly backend?: Migration['spec']['backend']
  /** Stores the checkpoint of the move, and keeps it. */
  readonly keep?: boolean
  /** Copies memory while the pod runs, where the kernel of its node tracks writes. */
  readonly preCopy?: boolean
  /** When the memory is moved; default: before the pod runs on the target. */
  readonly memoryPolicy?: Migration['spec']['memoryPolicy']
  /** Told in the object: `user`, `policy/nightly`. */
  readonly owner?: string
  readonly wait?: boolean
  /** Default: complete. */
  readonly until?: MoveEnd
}

/**
 * Moves a running pod with its memory to another node, and follows it to the end that is wanted. Asked again, the move
 * that was asked for before is followed, or told when the pod is where it brought it.
 */
export async function migratePod(
  kube: KubeClient,
  options: MigrateOptions,
  tools: CheckpointTools,
): Promise<Migration> {
  const {namespace, pod, node, store, backend, keep, preCopy, memoryPolicy, owner = 'user'} = options
  let moves = await movesOf(kube, {namespace, pod})
  let open = moves.find((migration) => !hasEnded(migration))
  if (open !== undefined && hasArrivedElsewhere(open, node)) {
    await endOf(kube, {namespace, name: open.metadata.name}, tools)
    moves = await movesOf(kube, {namespace, pod})
    open = moves.find((migration) => !hasEnded(migration))
  }
  let name = (open ?? (await landed(kube, node, moves)))?.metadata.name
  if (name === undefined) {
    const found = await runningPod(kube, {namespace, pod}, tools.signal)
    if (node !== undefined) {
      await needNode(kube, node)
      if (found.spec.nodeName === node)
        throw new CheckpointError('MIGRATION_FAILED', `pod ${namespace}/${pod} already runs on ${node}`)
    }
    const spec = {
      podName: pod,
      ...(node === undefined ? {} : {nodeName: node}),
      ...(backend === undefined ? {} : {backend}),
      ...(keep === true ? {keep} : {}),
      ...(preCopy === true ? {preCopy} : {}),
      ...(memoryPolicy === undefined ? {} : {memoryPolicy}),
      storeName: store,
      owner,
    }
    const isAsked = (migration: Migration): boolean => migration.spec.podName === pod && !hasEnded(migration)
    name = await createNamed(
      kube,
      'Migration',
      {pod, namespace, spec},
      (other) => isAsked(readAs(migrationSchema, other)),
      tools,
    )
  }
  return options.wait === false
    ? readMigration(kube, {namespace, name})
    : followMigration(kube, {namespace, name}, tools, options.until)
}

async function movesOf(
  kube: KubeReader,
  {namespace, pod}: Pick<MigrateOptions, 'namespace' | 'pod'>,
): Promise<readonly Migration[]> {
  const all = await listObjects(kube, 'Migration', migrationSchema, namespace)
  return all.filter(({spec}) => spec.podName === pod)
}

/** Whether a move has brought its pod to a node that is not the one that is wanted now: it is not that move. */
const hasArrivedElsewhere = ({status = {}}: Migration, node: string | undefined): boolean =>
  node !== undefined &&
  status.phase === 'Verifying' &&
  status.runningTime !== undefined &&
  status.targetNodeName !== node

/** However it ends: what comes of the pod is seen afterwards. */
async function endOf(kube: KubeReader, name: ObjectName, tools: CheckpointTools): Promise<void> {
  await followMigration(kube, name, {...tools, report: () => undefined}).catch((error: unknown) => {
    if (!(error instanceof CheckpointError)) throw error
  })
}

/** The move to that node that brought the pod that is there now. */
async function landed(
  kube: KubeReader,
  node: string | undefined,
  moves: readonly Migration[],
): Promise<Migration | undefined> {
  if (node === undefined) return undefined
  for (const move of moves) {
    const {newPodName, newPodUID, phase} = move.status ?? {}
    if (phase !== 'Succeeded' || move.spec.nodeName !== node || newPodUID === undefined) continue
    if ((await uidOfPod(kube, move.metadata.namespace ?? '', newPodName)) === newPodUID) return move
  }
  return undefined
}

const hasEnded = ({status}: Migration): boolean =>
  ['Succeeded', 'RolledBack', 'Failed'].includes(status?.phase ?? '')

async function readMigration(kube: KubeReader, {namespace, name}: ObjectName): Promise<Migration> {
  const found = await kube.get(refTo('Migration', name, namespace))
  if (found === undefined)
    throw new CheckpointError('MIGRATION_FAILED', `migration ${namespace}/${name} no longer exists`)
  return readAs(migrationSchema, found)
}

/** Follows a move to its end. Throws CheckpointError with where the pod runs now when it did not come about. */
export function followMigration(
  kube: KubeReader,
  {namespace, name}: ObjectName,
  tools: CheckpointTools,
  until: MoveEnd = 'complete',
): Promise<Migration> {
  const received = receivedText(tools.now)
  return follow(
    kube,
    {
      ref: refTo('Migration', name, namespace),
      schema: migrationSchema,
      title: `${namespace}/${name}`,
      lookAgain: `clouder kubectl -- get migration ${name} --namespace ${namespace}`,
      look: ({spec, status: now = {}}) => {
        if (now.phase === 'Failed' || now.phase === 'RolledBack') {
          const where =
            now.phase === 'RolledBack'
              ? `; pod ${spec.podName} still runs on ${now.sourceNodeName ?? 'its node'}`
              : now.checkpointName === undefined || now.reason === 'MEMORY_LOST'
                ? ''
                : `; its memory is in checkpoint ${namespace}/${now.checkpointName}`
          throw failureOf(
            now.reason,
            'MIGRATION_FAILED',
            `${now.message ?? 'the cluster reports no reason'}${where}`,
          )
        }
        const progress =
          now.phase === 'Checkpointing' || now.phase === 'Preparing' ? received(now) : undefined
        const message = [now.message, progress].filter(Boolean).join(', ')
        const seen = [now.phase ?? 'waiting for the controller', message].filter(Boolean).join(': ')
        if (now.phase !== 'Succeeded' && !(until === 'running' && isRunningThere(now))) return {seen}
        const stood =
          now.downtimeMilliseconds === undefined
            ? ''
            : `, downtime ${(now.downtimeMilliseconds / 1000).toFixed(1)} s`
        return {value: `${now.sourceNodeName ?? '?'} -> ${now.targetNodeName ?? '?'}${stood}`, seen}
      },
    },
    tools,
  )
}

const MIB = 1024 ** 2

/** How much of the memory the target has received, and how fast it comes, from one look to the next. */
function receivedText(now: () => number): (status: NonNullable<Migration['status']>) => string | undefined {
  let first: {readonly atMs: number; readonly bytes: number} | undefined
  return ({transfer}) => {
    if (transfer === undefined) return undefined
    const {receivedBytes: bytes, sizeBytes} = transfer
    first ??= {atMs: now(), bytes}
    const tookMs = now() - first.atMs
    const rate = tookMs > 0 && bytes > first.bytes ? (bytes - first.bytes) / MIB / (tookMs / 1000) : undefined
    const whole = sizeBytes === undefined ? '' : ` of ${(sizeBytes / MIB).toFixed(0)}`
    const speed = rate === undefined ? '' : `, ${rate.toFixed(0)} MiB/s`
    return `${(bytes / MIB).toFixed(0)}${whole} MiB received${speed}`
  }
}

export type PolicySpec = z.input<typeof policySpecSchema>

/** Writes a policy; one of that name is changed. */
export async function applyPolicy(
  kube: KubeClient,
  {namespace, name}: ObjectName,
  spec: PolicySpec,
  signal: AbortSignal,
): Promise<CheckpointPolicy> {
  const {apiVersion, kind} = refTo('CheckpointPolicy', name, namespace)
  const object = {apiVersion, kind, metadata: {name, namespace}, spec: policySpecSchema.parse(spec)}
  await kube.apply([object], signal)
  return readAs(
    checkpointPolicySchema,
    (await kube.get(refTo('CheckpointPolicy', name, namespace))) ?? object,
  )
}

export const listPolicies = (kube: KubeReader, namespace?: string): Promise<readonly CheckpointPolicy[]> =>
  listObjects(kube, 'CheckpointPolicy', checkpointPolicySchema, namespace)
