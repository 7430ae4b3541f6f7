import {readdir, readFile, rm} from 'node:fs/promises'
import {basename, dirname, join} from 'node:path'
import {z} from 'zod'
import {jsonOf} from '../../base/json.ts'
import {unlessMissing} from '../../base/system-errors.ts'
import {unpackArchive, type ArchiveBounds, type UnpackedArchive} from '../../checkpoint/archive/read.ts'
import {unlike} from '../../checkpoint/likeness.ts'
import {SLACK_BYTES, storageLimits} from '../../checkpoint/ephemeral-storage.ts'
import {RESTORE_ANNOTATION} from '../../api/names.ts'
import {openCheckpoint} from '../../checkpoint/sealed/open.ts'
import {privilegesSchema, type NodeFeatures} from '../../api/sealed-checkpoint.ts'
import {makeFolderDurably, writeDurably} from '../../base/durable-files.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {digestSchema} from '../../api/sealed-checkpoint.ts'
import {plainTar} from './plain-tar.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import {checkpointRef, parseCheckpoint, type Named} from './checkpoint-object.ts'
import {dumpedHere, factsOf, linkDump, type DumpedTools} from './prepare-dumped.ts'
import type {MemoryPlace} from './memory-place.ts'
import type {AgentTools} from './tools.ts'

/** A container's checkpoint, unpacked and verified. Written beside it, for an agent that is started anew. */
const preparedSchema = z.strictObject({
  imageDir: z.string(),
  changes: z.string().optional(),
  deleted: z.array(z.string()),
  privileges: privilegesSchema,
  imageDigest: z.string(),
  /** The boot of the node in which it was unpacked. */
  boot: z.string(),
})
export type PreparedContainer = z.output<typeof preparedSchema>

const BOOT_ID = '/proc/sys/kernel/random/boot_id'

/** Checkpoints unpacked for pods of this node, below one folder: `<uid of the pod>/<container>/`. */
export interface Preparations {
  /**
   * Fetches, opens, verifies and unpacks what the pod goes on from; what was unpacked already stays. Undefined: the
   * checkpoint has no such container, or it was restored before. Throws CheckpointError.
   */
  prepare(pod: Pod, container: string): Promise<PreparedContainer | undefined>
  /** Remembers for which container an answer was given, before it is. */
  noteRequested(podUid: string, container: string, id: string): Promise<void>
  asked(podUid: string, container: string): Promise<string | undefined>
  /** The container has begun to run: its data goes, and the next one of its name is created anew. */
  noteRestored(podUid: string, container: string): Promise<void>
  isRestored(podUid: string, container: string): Promise<boolean>
  workDir(podUid: string, container: string): string
  /** A file that tells whether a volume of the pod has its contents back; `key` is of letters, digits, `.`, `-`. */
  volumeMarker(podUid: string, key: string): string
  /** A file that the restore handler writes how the memory of the container came to, if it comes after the restore. */
  pagesState(podUid: string, container: string): string
  /** Removes everything of a pod that is gone. */
  remove(podUid: string): Promise<void>
  /** Pods that there is something of. */
  list(): Promise<readonly string[]>
}

interface PreparationTools
  extends
    DumpedTools,
    Pick<AgentTools, 'kube' | 'stores' | 'ciphers' | 'nodeFeatures' | 'freeBytes' | 'signal' | 'log'> {
  /** A folder of memory for what is of a dump in memory, and for what is unpacked as long as it fits there. */
  readonly memoryFolder?: string
  /** What may be unpacked there; absent: nothing. */
  readonly memory?: Pick<MemoryPlace, 'reserve'>
  /** Holds another value after each boot; default: the kernel's. */
  readonly bootIdFile?: string
}

/** Preparations on the disk. */
export function diskPreparations(folder: string, tools: PreparationTools): Preparations {
  const podDir = (uid: string): string => {
    if (!/^[0-9a-f-]{8,}$/.test(uid)) throw new Error(`"${uid}" is not the uid of a pod`)
    return join(folder, uid)
  }
  const of = (uid: string, container: string, kind: string): string =>
    join(podDir(uid), `${container}${kind}`)
  const memoryDir = (uid: string): string | undefined =>
    tools.memoryFolder === undefined ? undefined : join(tools.memoryFolder, basename(podDir(uid)))
  const note = async (uid: string, path: string, text: string): Promise<void> => {
    await makeFolderDurably(podDir(uid))
    await writeDurably(path, text)
  }
  const underWay = new Map<string, Promise<void>>()
  const preparations: Preparations = {
    async prepare(pod, container) {
      const {uid} = pod.metadata
      if (await preparations.isRestored(uid, container)) return undefined
      const boot = await readFile(tools.bootIdFile ?? BOOT_ID, 'utf8')
      const ready = await readPrepared(of(uid, container, '.json'), boot)
      if (ready !== undefined) return ready
      // All containers of a pod come from one checkpoint, which is opened once.
      const running =
        underWay.get(uid) ??
        unpackPod(pod, preparations, {dir: podDir(uid), memoryDir: memoryDir(uid), boot}, tools).finally(() =>
          underWay.delete(uid),
        )
      underWay.set(uid, running)
      await running
      return readPrepared(of(uid, container, '.json'), boot)
    },
    noteRequested: (uid, container, id) => note(uid, of(uid, container, '.requested'), id),
    async asked(uid, container) {
      const id = await readFile(of(uid, container, '.requested'), 'utf8').catch(unlessMissing)
      return id === '' ? undefined : id
    },
    async noteRestored(uid, container) {
      await note(uid, of(uid, container, '.restored'), '')
      await rm(of(uid, container, '.json'), {force: true})
      await rm(of(uid, container, ''), {recursive: true, force: true})
      const inMemory = memoryDir(uid)
      if (inMemory !== undefined) await rm(join(inMemory, container), {recursive: true, force: true})
    },
    isRestored: async (uid, container) =>
      (await readFile(of(uid, container, '.restored'), 'utf8').catch(unlessMissing)) !== undefined,
    // No container has a dot in its name.
    volumeMarker: (uid, key) => join(podDir(uid), `${key}.volume`),
    pagesState: (uid, container) => of(uid, container, '.pages'),
    workDir: (uid, container) => join(of(uid, container, ''), 'work'),
    async remove(uid) {
      for (const dir of [podDir(uid), memoryDir(uid)])
        if (dir !== undefined) await rm(dir, {recursive: true, force: true})
    },
    async list() {
      const folders = tools.memoryFolder === undefined ? [folder] : [folder, tools.memoryFolder]
      const entries = await Promise.all(
        folders.map(async (one) => (await readdir(one, {withFileTypes: true}).catch(unlessMissing)) ?? []),
      )
      const pods = entries
        .flat()
        .filter((entry) => entry.isDirectory() && /^[0-9a-f-]{36}$/.test(entry.name))
        .map(({name}) => name)
      return [...new Set(pods)]
    },
  }
  return preparations
}

interface UnpackTo {
  readonly dir: string
  readonly memoryDir: string | undefined
  readonly boot: string
}

async function unpackPod(
  pod: Pod,
  preparations: Preparations,
  to: UnpackTo,
  tools: PreparationTools,
): Promise<void> {
  const {dir, boot} = to
  const {kube, stores, ciphers, signal, log} = tools
  const {namespace, uid} = pod.metadata
  const name = pod.metadata.annotations[RESTORE_ANNOTATION] ?? ''
  const object = await kube.get(checkpointRef({namespace, name}))
  if (object === undefined)
    throw new CheckpointError('CHECKPOINT_UNKNOWN', `checkpoint ${namespace}/${name} not found`)
  const checkpoint = parseCheckpoint(object)
  const {status = {}, spec} = checkpoint
  if (status.phase === 'Dumped') return prepareDumped(pod, checkpoint, preparations, to, tools)
  const digest = digestSchema.safeParse(status.digest).data
  if (status.phase !== 'Ready' || digest === undefined)
    throw new CheckpointError(
      'CHECKPOINT_UNKNOWN',
      `checkpoint ${namespace}/${name} is ${status.phase ?? 'Pending'}, not Ready`,
    )
  const {blobs, keys} = await stores.open(spec.storeName, {fromNode: status.nodeName, signal})
  const opened = await openCheckpoint({
    store: blobs,
    digest,
    keys: keys.wrappers,
    trust: keys.trust,
    ciphers,
    signal,
  })
  if (opened.metadata.namespace !== namespace)
    throw new CheckpointError(
      'CHECKPOINT_UNKNOWN',
      `checkpoint ${name} was created in namespace ${opened.metadata.namespace}, not in ${namespace}`,
    )
  refuseUnlike(opened.metadata.source, await tools.nodeFeatures())
  const wanted = new Set(pod.spec.containers.map((container) => container.name))
  for (const {name: container, privileges, imageDigest, archiveBytes} of opened.metadata.containers) {
    if (!wanted.has(container) || (await preparations.isRestored(uid, container))) continue
    await makeFolderDurably(dir)
    const unpackIn = async (folder: string, roomBytes: number): Promise<UnpackedArchive> => {
      const target = join(folder, container)
      // What an agent that died has left half unpacked.
      await rm(target, {recursive: true, force: true})
      const most = boundsOf(pod, roomBytes)
      const filesBytes = folder === dir ? most.filesBytes : Math.min(most.filesBytes, roomBytes)
      try {
        const whole = await unpackArchive(opened.archive(container, {transient: true}), target, signal, most)
        if (whole.changes !== undefined) await plainTar(whole.changes, signal, filesBytes)
        return whole
      } catch (error) {
        await rm(target, {recursive: true, force: true})
        throw error
      }
    }
    const unpacked =
      (await unpackToMemory(archiveBytes, unpackIn, to, tools)) ??
      (await unpackIn(dir, (await tools.freeBytes()) - SPARE_BYTES))
    const prepared: PreparedContainer = {
      imageDir: unpacked.imageDir,
      ...(unpacked.changes === undefined ? {} : {changes: unpacked.changes}),
      deleted: [...unpacked.deleted],
      privileges,
      imageDigest,
      boot,
    }
    await writeDurably(join(dir, `${container}.json`), JSON.stringify(prepared))
  }
  log('info', 'prepared', {pod: pod.metadata.name, namespace, checkpoint: name})
}

/** Undefined: memory has no room for it, which may only be seen when it is full. */
async function unpackToMemory(
  archiveBytes: number,
  unpackIn: (folder: string, roomBytes: number) => Promise<UnpackedArchive>,
  {memoryDir}: UnpackTo,
  {memory, log}: PreparationTools,
): Promise<UnpackedArchive | undefined> {
  if (memoryDir === undefined) return undefined
  const release = await memory?.reserve(archiveBytes)
  if (release === undefined) return undefined
  try {
    return await unpackIn(memoryDir, archiveBytes)
  } catch (error) {
    if (!isFull(error)) throw error
    log('info', 'memory has no room for a checkpoint; it is unpacked to the disk', {error: error.message})
    return undefined
  } finally {
    release()
  }
}

const FULL: readonly unknown[] = ['ENOSPC', 'TOO_LARGE']
const isFull = (error: unknown): error is Error =>
  error instanceof Error && 'code' in error && FULL.includes(error.code)

/** From a dump that is on this node, for the pod of its Migration. */
async function prepareDumped(
  pod: Pod,
  checkpoint: Named,
  preparations: Preparations,
  {dir, memoryDir, boot}: UnpackTo,
  tools: PreparationTools,
): Promise<void> {
  const {signal, memoryFolder} = tools
  const {namespace, name, status = {}} = checkpoint
  const found = await dumpedHere(checkpoint, tools)
  const source = status.nodeFeatures
  if (source !== undefined) refuseUnlike(source, await tools.nodeFeatures())
  const wanted = new Set(pod.spec.containers.map((container) => container.name))
  for (const dumped of found) {
    const {uid} = pod.metadata
    if (!wanted.has(dumped.name) || (await preparations.isRestored(uid, dumped.name))) continue
    const {privileges, imageDigest, deleted} = await factsOf(dumped, checkpoint, tools)
    const isInMemory = memoryFolder !== undefined && dumped.folder.startsWith(`${dirname(memoryFolder)}/`)
    await makeFolderDurably(dir)
    const target = join(isInMemory ? (memoryDir ?? dir) : dir, dumped.name)
    const most = boundsOf(pod, (await tools.freeBytes()) - SPARE_BYTES)
    const parts = await linkDump(dumped.folder, target, most, signal)
    const prepared: PreparedContainer = {...parts, deleted: [...deleted], privileges, imageDigest, boot}
    await writeDurably(join(dir, `${dumped.name}.json`), JSON.stringify(prepared))
  }
  tools.log('info', 'prepared', {pod: pod.metadata.name, namespace, checkpoint: name, direct: true})
}

/** Left free on the disk of a node, which evicts pods when it is full. */
export const SPARE_BYTES = 256 * 1024 * 1024
/** What may be unpacked for a container: no more than there is room, and of files no more than its pod may keep. */
function boundsOf(pod: Pod, roomBytes: number): ArchiveBounds {
  const limits = storageLimits(pod.spec)
  const filesBytes = pod.spec.containers.reduce(
    (sum, {name}) => sum + (limits.get(name) ?? Number.POSITIVE_INFINITY),
    SLACK_BYTES,
  )
  return {allBytes: Math.max(0, roomBytes), filesBytes}
}

/** Throws CheckpointError NODE_UNLIKE when processes of `source` cannot go on here. */
export function refuseUnlike(source: NodeFeatures, here: NodeFeatures): void {
  const why = unlike(source, here)
  if (why !== undefined) throw new CheckpointError('NODE_UNLIKE', `this node cannot run the pod: ${why}`)
}

/**
 * What was unpacked in this boot. Pages are not synced to the disk, which would prolong every move: after a power cut
 * they may be there in part, and are unpacked again, as when what tells of them cannot be read.
 */
async function readPrepared(path: string, boot: string): Promise<PreparedContainer | undefined> {
  const prepared = preparedSchema.safeParse(
    jsonOf((await readFile(path, 'utf8').catch(unlessMissing)) ?? ''),
  ).data
  return prepared?.boot === boot ? prepared : undefined
}
