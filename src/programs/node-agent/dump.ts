import {CheckpointError} from '../../checkpoint/errors.ts'
import {storageLimits} from '../../checkpoint/ephemeral-storage.ts'
import {originalPod} from '../../checkpoint/pod-template.ts'
import type {Checkpoint, CheckpointStatus} from '../../api/resources.ts'
import type {ContainerCgroup} from './cgroups.ts'
import {containerIdOf, statusOf, type Pod} from '../../kubernetes/pod.ts'
import type {DumpPlace} from './archives.ts'
import type {DumpTarget} from './container-checkpoint.ts'
import {PreCopiedDumpError, UnsuitedDumpError, type DirectlyDumped} from './direct-dump.ts'
import {copyBefore, NOT_COPIED, type CopiedBefore, type PreCopyStatus} from './dump-rounds.ts'
import {refuseBeyondTarget} from './transfer/target-room.ts'
import {placeFor, type DumpWay} from './dump-place.ts'
import type {WatchResult} from './freeze-worker.ts'
import {runHook} from './hooks.ts'
import {notDumped} from './not-dumped.ts'
import {resumePod} from './thaw.ts'
import type {AgentTools} from './tools.ts'
import {refuseOverLimit, type DumpSize} from './upper-layer.ts'
import {NO_VOLUMES, packVolumes, volumesToPack, type VolumesToPack} from './dump-volumes.ts'

/** What a dump touches. */
export type DumpTools = Pick<
  AgentTools,
  | 'ahead'
  | 'archives'
  | 'cgroups'
  | 'checkpoint'
  | 'directDump'
  | 'dumpWay'
  | 'nodeFeatures'
  | 'exec'
  | 'explain'
  | 'log'
  | 'measure'
  | 'memory'
  | 'outgoing'
  | 'pageServers'
  | 'runc'
  | 'shims'
  | 'signal'
  | 'volumes'
  | 'watchDump'
>

type DumpedContainer = NonNullable<CheckpointStatus['containers']>[number]

/** What a dump leaves: archives of this checkpoint, and the pod standing still if that was asked for. */
export interface Dumped {
  readonly containers: readonly DumpedContainer[]
  readonly frozen: boolean
  /** When the first of them was frozen, in milliseconds since the epoch; absent: the runtime does not say. */
  readonly frozenAtMs?: number
  readonly way: DumpWay
  /** Absent: memory was not to be copied before. */
  readonly preCopy?: PreCopyStatus
}

/**
 * Dumps the containers of a pod in order. One that was dumped stands still until all are, so that they fit each other,
 * and goes on then if the checkpoint leaves the pod running. Whatever an earlier attempt left is taken away first. Tried
 * again when its processes could not be stopped just then, on the disk when the memory for dumps was too small, and
 * without rounds of pre-copy when the dump after them failed; `report` is told of each of these rounds. Throws
 * CheckpointError CHECKPOINT_FAILED, TOO_LARGE; the pod may be frozen then.
 */
export async function dumpPod(
  checkpoint: Checkpoint,
  uid: string,
  pod: Pod,
  tools: DumpTools,
  report: (preCopy: PreCopyStatus) => Promise<void>,
): Promise<Dumped> {
  const may = {useMemory: true, beDirect: true, preCopy: true}
  let withoutRounds: PreCopyStatus | undefined
  for (let attempt = 1; ; attempt += 1) {
    try {
      const dumped = await dumpOnce(checkpoint, uid, pod, {...may, report}, tools)
      // What was reported of rounds is not so any longer.
      return withoutRounds === undefined ? dumped : {...dumped, preCopy: withoutRounds}
    } catch (error) {
      if (!(error instanceof CheckpointError) || attempt === ATTEMPTS) throw error
      const isFull = may.useMemory && (await tools.memory.isFull())
      const isUnsuited = error instanceof UnsuitedDumpError
      const isPreCopied = error instanceof PreCopiedDumpError
      if (!isFull && !isUnsuited && !isPreCopied && !BUSY.test(error.message)) throw error
      tools.log('info', 'could not dump a pod, retrying', {attempt, isFull, error: error.message})
      may.useMemory &&= !isFull
      may.beDirect &&= !isUnsuited
      if (checkpoint.spec.transfer?.preCopy === true && (isPreCopied || isFull)) {
        may.preCopy = false
        const message = `the dump after it failed: ${error.message}`
        withoutRounds = {rounds: 0, copiedBytes: 0, message}
      }
      await resumePod(pod.metadata.uid, tools)
      tools.signal.throwIfAborted()
    }
  }
}

const ATTEMPTS = 4
/**
 * runc gives up on a busy machine after some milliseconds
 * (https://github.com/opencontainers/cgroups/blob/v0.0.6/fs/freezer.go). And a process that has started another one by
 * vfork, as shells do, cannot be stopped until that has become its program: CRIU waits for ten seconds, in which that one
 * stands still too.
 */
const BUSY = /unable to freeze|Unseizable non-zombie/

async function dumpOnce(
  checkpoint: Checkpoint,
  uid: string,
  pod: Pod,
  may: {
    readonly useMemory: boolean
    readonly beDirect: boolean
    readonly preCopy: boolean
    readonly report: (preCopy: PreCopyStatus) => Promise<void>
  },
  tools: DumpTools,
): Promise<Dumped> {
  const {cgroups, archives} = tools
  const {spec} = checkpoint
  const names = spec.containers ?? pod.spec.containers.map(({name}) => name)
  const running = names.map((name) => runningContainer(pod, name))
  await archives.remove(uid)
  const limits = storageLimits(originalPod(pod).spec)
  const sizes = new Map<string, DumpSize>()
  const unmeasured = new Map<string, string>()
  for (const {name, id} of running) {
    const cgroup = await cgroups.find(pod.metadata.uid, id)
    if (cgroup === undefined) continue
    const size = await tools.measure({pid: cgroup.pid, cgroup: cgroup.container})
    sizes.set(name, size)
    if (spec.podPolicy !== 'Resume') refuseOverLimit(name, size, limits.get(name))
    if (size.unmeasured === undefined) continue
    unmeasured.set(name, size.unmeasured)
    tools.log('warn', 'could not measure changed files', {...targetOf(pod, name), error: size.unmeasured})
  }
  const isOverlay = [...sizes.values()].every(({upper}) => upper !== undefined)
  const way = isOverlay && may.beDirect && spec.keepArchive !== true ? await tools.dumpWay() : 'Runtime'
  // Together with the last container: all others stand still then.
  const volumes =
    way === 'Direct'
      ? await volumesToPack(
          pod,
          running.map(({id}) => id),
          spec.podPolicy === 'Resume',
          tools,
        )
      : NO_VOLUMES
  const isLazy = spec.transfer?.lazy === true
  if (isLazy) refuseLazily(pod, way)
  const memory = may.useMemory ? tools.memory : undefined
  const written = isLazy ? withoutMemory(sizes) : sizes
  const {place, expectedBytes, wantedBytes, release} = await placeFor(way, written, memory, volumes.sizeBytes)
  let copied = NOT_COPIED
  try {
    if (way === 'Direct') {
      await refuseBeyondTarget(checkpoint, uid, wantedBytes, tools)
      archives.expect(uid, expectedBytes)
      // One whose pod runs on is sealed afterwards: until then the dump has the processors to itself.
      if (spec.podPolicy !== 'Resume' && spec.transfer === undefined)
        tools.ahead.begin({uid, namespace: pod.metadata.namespace, storeName: spec.storeName})
      if (may.preCopy) {
        const {report} = may
        copied = await copyBefore(checkpoint, uid, pod, {running, sizes, place, wantedBytes, report}, tools)
      }
    }
    const plan = {running, sizes, unmeasured, volumes, way, place, copied}
    const dumped = await dumpContainers(checkpoint, uid, pod, plan, tools)
    return {...dumped, ...(copied.status === undefined ? {} : {preCopy: copied.status})}
  } finally {
    copied.release()
    release()
  }
}

/** Throws CheckpointError CHECKPOINT_FAILED. */
function refuseLazily({metadata, spec}: Pod, way: DumpWay): void {
  const refused = (why: string): CheckpointError =>
    new CheckpointError(
      'CHECKPOINT_FAILED',
      `pod ${metadata.namespace}/${metadata.name} cannot be moved with memoryPolicy Lazy: ${why}`,
    )
  if (way !== 'Direct') throw refused('this node cannot dump it to a folder')
  if (spec.containers.length > 1) throw refused('it has more than one container')
  if (spec.hostNetwork === true) throw refused('it is in the network of its node (hostNetwork)')
}

const withoutMemory = (sizes: ReadonlyMap<string, DumpSize>): ReadonlyMap<string, DumpSize> =>
  new Map([...sizes].map(([name, size]) => [name, {...size, memoryBytes: 0}]))

interface DumpPlan {
  readonly running: readonly {readonly name: string; readonly id: string; readonly image: string}[]
  readonly sizes: ReadonlyMap<string, DumpSize>
  /** Why the files of a container were not measured. */
  readonly unmeasured: ReadonlyMap<string, string>
  readonly volumes: VolumesToPack
  readonly way: DumpWay
  readonly place: DumpPlace
  readonly copied: CopiedBefore
}

async function dumpContainers(
  {spec}: Checkpoint,
  uid: string,
  pod: Pod,
  {running, sizes, unmeasured, volumes, way, place, copied}: DumpPlan,
  tools: DumpTools,
): Promise<Dumped> {
  const {cgroups, signal} = tools
  if (spec.hooks?.preCheckpoint !== undefined) await runHook('before', pod, spec.hooks.preCheckpoint, tools)
  const holds = spec.podPolicy !== 'Resume' || running.length > 1
  const containers: DumpedContainer[] = []
  let firstFrozenAtMs: number | undefined
  const held: ContainerCgroup[] = []
  for (const [index, {name, id, image}] of running.entries()) {
    const cgroup = await cgroups.find(pod.metadata.uid, id)
    if (cgroup === undefined) throw notDumped(pod, name, 'its processes were not found on the node')
    const {frozenAtMs, ...dumped} = await dumpContainer(
      pod,
      {
        name,
        id,
        uid,
        cgroup,
        freezePod: holds,
        isLazy: spec.transfer?.lazy === true,
        place,
        copied,
        upper: way === 'Direct' ? sizes.get(name)?.upper : undefined,
        volumes: index === running.length - 1 ? volumes : NO_VOLUMES,
      },
      tools,
    )
    if (index === 0) firstFrozenAtMs = frozenAtMs
    const why = unmeasured.get(name)
    containers.push({name, image, ...dumped, dump: way, ...(why === undefined ? {} : {unmeasured: why})})
    held.push(cgroup)
    if (holds && index < running.length - 1) await cgroups.holdContainer(cgroup)
    signal.throwIfAborted()
  }
  const stays = spec.podPolicy !== 'Resume'
  if (holds && !stays) await cgroups.thaw(pod.metadata.uid)
  if (!stays && spec.hooks?.postCheckpoint !== undefined)
    await runHook('after', pod, spec.hooks.postCheckpoint, tools)
  tools.log('info', 'dumped the containers of a pod', {
    namespace: pod.metadata.namespace,
    pod: pod.metadata.name,
    way,
    place,
  })
  return {
    containers,
    frozen: stays,
    ...(firstFrozenAtMs === undefined ? {} : {frozenAtMs: firstFrozenAtMs}),
    way,
  }
}

const targetOf = ({metadata: {namespace, name}}: Pod, container: string) => ({
  namespace,
  pod: name,
  container,
})

function runningContainer(pod: Pod, name: string): {name: string; id: string; image: string} {
  const container = originalPod(pod).spec.containers.find((one) => one.name === name)
  if (container === undefined) {
    const names = pod.spec.containers.map((one) => one.name).join(', ')
    throw notDumped(pod, name, `the pod has no such container; its containers are ${names}`)
  }
  const status = statusOf(pod, name)
  const id = containerIdOf(status)
  if (status?.state?.running === undefined || id === undefined) {
    const {waiting, terminated} = status?.state ?? {}
    throw notDumped(pod, name, `it is not running: ${waiting?.reason ?? terminated?.reason ?? 'not started'}`)
  }
  return {name, id, image: container.image}
}

interface ContainerDump {
  readonly name: string
  readonly id: string
  readonly uid: string
  readonly cgroup: ContainerCgroup
  readonly freezePod: boolean
  /** Memory stays here until the pod runs on another node. */
  readonly isLazy: boolean
  /** Of its overlay; absent: the runtime makes an archive of it. */
  readonly upper: string | undefined
  readonly place: DumpPlace
  readonly copied: CopiedBefore
  readonly volumes: VolumesToPack
}

async function dumpContainer(
  pod: Pod,
  dump: ContainerDump,
  tools: DumpTools,
): Promise<{
  readonly archiveBytes: number
  readonly frozenAtMs?: number
  readonly frozenMilliseconds?: number
  readonly gapMilliseconds?: number
}> {
  const {archives} = tools
  const {name, id, uid, upper, place, copied, volumes} = dump
  const target = {...targetOf(pod, name), podUid: pod.metadata.uid, containerId: id}
  const path =
    upper === undefined
      ? await archives.begin(uid, name)
      : (copied.folders.get(name) ?? (await archives.beginFolder(uid, name, place)))
  const dumping =
    upper === undefined
      ? dumpByRuntime(pod, target, path, dump, tools)
      : tools.directDump(
          target,
          path,
          {
            ...dump,
            upper,
            rounds: copied.rounds,
            ...(dump.isLazy ? {lazyPod: pod.metadata.uid} : {}),
            alongside: (ended) => packVolumes(volumes, path, tools, ended),
          },
          tools.signal,
        )
  const seen: WatchResult | DirectlyDumped = await dumping.catch(async (error: unknown) => {
    throw await explained(error, tools)
  })
  const archiveBytes = await archives.claim(path, uid, name)
  const {frozenMs, gapMs} = seen
  return {
    archiveBytes,
    ...('frozenAtMs' in seen ? {frozenAtMs: seen.frozenAtMs} : {}),
    ...(frozenMs === undefined ? {} : {frozenMilliseconds: Math.round(frozenMs)}),
    ...(gapMs === undefined ? {} : {gapMilliseconds: Math.ceil(gapMs)}),
  }
}

/** The runtime makes a tar, and resumes the container itself: the pod is frozen before it does. */
async function dumpByRuntime(
  pod: Pod,
  target: DumpTarget,
  path: string,
  {cgroup, freezePod}: ContainerDump,
  {watchDump, checkpoint, signal}: DumpTools,
): Promise<WatchResult> {
  const {seen} = await watchDump(cgroup, {freezePod}, () => checkpoint(target, path, signal))
  if (freezePod && !seen.podFrozen)
    throw notDumped(
      pod,
      target.container,
      'the node agent missed the end of the dump, so the pod could not be frozen',
    )
  return seen
}

async function explained(error: unknown, tools: Pick<AgentTools, 'explain'>): Promise<unknown> {
  if (!(error instanceof CheckpointError)) return error
  const why = await tools.explain(error.message)
  if (why === undefined) return error
  const explanation = new CheckpointError('CHECKPOINT_FAILED', why, {cause: error})
  return error instanceof PreCopiedDumpError ? new PreCopiedDumpError(explanation) : explanation
}
