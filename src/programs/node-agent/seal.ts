import pLimit from 'p-limit'
import type {CheckpointStatus, CheckpointSummary, Obstacle} from '../../api/resources.ts'
import {Sealing, type UnsealedMetadata} from '../../checkpoint/sealed/seal.ts'
import {storageObstacles} from '../../checkpoint/archive/obstacles.ts'
import type {Patience} from '../../base/waiting.ts'
import {openCheckpoint} from '../../checkpoint/sealed/open.ts'
import {withoutPacked, type PackedVolume} from '../../checkpoint/archive/volumes.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {podNamespacesSchema} from '../../kubernetes/pod.ts'
import type {Named} from './checkpoint-object.ts'
import {sealedFeatures} from '../../api/sealed-checkpoint.ts'
import type {AgentTools} from './tools.ts'

/** What sealing touches: no pod, no runtime, no API server. */
export type SealTools = Pick<
  AgentTools,
  'ahead' | 'archives' | 'ciphers' | 'inspect' | 'log' | 'node' | 'now' | 'signal' | 'stores'
>

const TELL_EVERY_MS = 2_000
/** With a store that is away, while the pod runs on. */
const PATIENCE_MS = 5 * 60_000

type SealedStatus = Required<Pick<CheckpointStatus, 'digest' | 'location' | 'sizeBytes' | 'storedBytes'>>

/** Sealed at once on a node: each takes some tens of megabytes, and all have the same processors. */
const AT_ONCE = 8
const turn = pLimit(AT_ONCE)

type Sealed = SealedStatus & {readonly summary: CheckpointSummary; readonly obstacles?: Obstacle[]}
/** Told of one checkpoint, so that a status stays small. */
export const MOST_OBSTACLES = 20

/**
 * Seals the archives of a dumped checkpoint into its store and verifies what is there; some at a time.
 * Throws CheckpointError: CHECKPOINT_FAILED when an archive is gone, RESTORE_IMPOSSIBLE before anything names what is
 * stored when the pod is to end and could not be restored.
 */
export const sealDumped = (
  checkpoint: Named,
  tools: SealTools,
  tell: (message: string) => Promise<void>,
): Promise<Sealed> =>
  turn(() => {
    tools.signal.throwIfAborted()
    return sealInTurn(checkpoint, tools, tell)
  })

async function sealInTurn(
  checkpoint: Named,
  tools: SealTools,
  tell: (message: string) => Promise<void>,
): Promise<Sealed> {
  const {stores, archives, ahead, ciphers, signal} = tools
  const say = everyFewSeconds(tools, tell)
  const {metadata, summary, obstacles} = await describe(checkpoint, tools)
  refuseToEnd(checkpoint, obstacles)
  const patience = patienceOf(checkpoint, say)
  const {namespace, uid} = checkpoint
  const before = await ahead.take(uid)
  const {blobs, keys} =
    before?.opened ?? (await stores.open(checkpoint.spec.storeName, {patience, usedBy: namespace, signal}))
  const sealing =
    before?.sealing ?? new Sealing({namespace, keys: keys.sealing, store: blobs, ciphers, readBack: true})
  const sealed = await sealing.finish({
    metadata,
    archives: new Map(
      metadata.containers.map(
        ({name}) =>
          [
            name,
            () => archives.readRest(uid, name, before?.ofContainer(name) ?? new Map<string, never>()),
          ] as const,
      ),
    ),
    signer: keys.signer,
    name: `${namespace}-${checkpoint.name}`,
    signal,
    onProgress: ({readBytes}) => say(`storing: ${readBytes} bytes stored and verified`),
  })
  // The pieces were verified one by one; what names them, and the key that opens them, as a restore will find them.
  await openCheckpoint({
    store: blobs,
    digest: sealed.digest,
    trust: keys.trust,
    keys: keys.wrappers,
    signal,
  })
  await say.last()
  const {digest, sizeBytes, storedBytes} = sealed
  return {
    ...{digest, location: blobs.location, sizeBytes, storedBytes, summary},
    ...(obstacles.length === 0 ? {} : {obstacles: obstacles.slice(0, MOST_OBSTACLES)}),
  }
}

/**
 * A pod that stands still to be moved, or to be ended, goes on when it is known that no restore would bring it back. One
 * that is deleted by its checkpoint also when that is not known: nobody could thaw it any more.
 */
export function refuseToEnd({spec, name}: Named, obstacles: readonly Obstacle[]): void {
  if (spec.podPolicy === 'Resume') return
  const [first, ...others] = obstacles.filter(
    ({verdict}) => verdict === 'Impossible' || spec.podPolicy === 'Delete',
  )
  if (first === undefined) return
  const more = others.length === 0 ? '' : ` (and ${others.length} more)`
  throw new CheckpointError(
    'RESTORE_IMPOSSIBLE',
    `the pod keeps running, because checkpoint ${name} could not be restored: ${first.message}${more}`,
  )
}

/**
 * A pod that stands still is let go after the few seconds that every store gets: its users wait, and a kubelet whose
 * probes it does not answer starts it anew, which ends what was to be saved.
 */
function patienceOf({spec}: Named, say: (message: string) => void): Patience | undefined {
  if (spec.podPolicy !== 'Resume') return undefined
  return {
    patienceMs: PATIENCE_MS,
    onWait: (words) => say(`waiting for store ${spec.storeName}, which is unavailable: ${words}`),
  }
}

/** What the checkpoint says of itself. */
export async function describe(
  checkpoint: Named,
  tools: Pick<SealTools, 'archives' | 'inspect' | 'node' | 'now' | 'signal'>,
): Promise<{metadata: UnsealedMetadata; summary: CheckpointSummary; obstacles: readonly Obstacle[]}> {
  const {status = {}, spec, namespace, uid} = checkpoint
  const {podUID, podTemplate, nodeFeatures: source, containers = [], startTime} = status
  if (podUID === undefined || podTemplate === undefined || source === undefined || spec.podRef === undefined)
    throw new CheckpointError('CHECKPOINT_FAILED', `checkpoint ${checkpoint.name} no longer has a status`)
  const summary: CheckpointSummary = {containers: []}
  const obstacles: Obstacle[] = []
  const packed = new Set<PackedVolume>()
  const described: UnsealedMetadata['containers'][number][] = []
  const pod = podNamespacesSchema.parse(podTemplate.spec)
  for (const {name, image, frozenMilliseconds, archiveBytes} of containers) {
    const sizeBytes = await tools.archives.sizeOf(uid, name)
    // A power cut may leave a part of it.
    if (sizeBytes !== archiveBytes)
      throw new CheckpointError(
        'CHECKPOINT_FAILED',
        sizeBytes === undefined
          ? `the archive of container ${name} no longer exists on ${tools.node}`
          : `the archive of container ${name} on ${tools.node} has ${sizeBytes} bytes, expected ${archiveBytes}`,
      )
    const {
      privileges,
      imageDigest,
      used,
      summary: about,
      obstacles: found,
      volumes = [],
    } = await tools.inspect(tools.archives.skim(uid, name), pod, tools.signal)
    summary.containers.push(about)
    obstacles.push(...storageObstacles(name, about.filesBytes ?? 0, podTemplate.spec), ...found)
    for (const volume of volumes) packed.add(volume)
    described.push({
      ...{name, image, imageDigest, privileges},
      ...(used === undefined ? {} : {used}),
      ...(frozenMilliseconds === undefined ? {} : {frozenMs: frozenMilliseconds}),
    })
  }
  const metadata: UnsealedMetadata = {
    version: 1,
    namespace,
    pod: spec.podRef.name,
    podUid: podUID,
    node: tools.node,
    createdAt: startTime ?? new Date(tools.now()).toISOString(),
    owner: spec.owner ?? 'user',
    source: sealedFeatures(source),
    podTemplate,
    containers: described,
  }
  return {metadata, summary, obstacles: withoutPacked(obstacles, packed)}
}

/** Tells the newest message, not more often than that; one that fails is no reason to stop. */
function everyFewSeconds(
  {now, log}: Pick<AgentTools, 'now' | 'log'>,
  tell: (message: string) => Promise<void>,
): ((message: string) => void) & {last: () => Promise<void>} {
  let toldAtMs = now()
  let telling = Promise.resolve()
  const say = (message: string): void => {
    if (now() - toldAtMs < TELL_EVERY_MS) return
    toldAtMs = now()
    telling = telling
      .then(() => tell(message))
      .catch((error: unknown) => log('warn', 'could not report progress', {error: String(error)}))
  }
  return Object.assign(say, {last: () => telling})
}
