import {mkdir, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {ContainerCgroup, Cgroups} from './cgroups.ts'
import type {DumpTarget} from './container-checkpoint.ts'
import type {ContainerFacts} from './runtime-container.ts'
import {parentLinks, roundName} from '../../checkpoint/archive/pre-copy.ts'
import type {PreparedRunc, Runc} from './runc.ts'
import type {PageServers} from './lazy/page-servers.ts'
import type {RuntimeTasks} from './runtime-tasks.ts'

/** What a dump was seen to do to the processes. */
export interface DirectlyDumped {
  /** When the runtime was asked to pause it, in milliseconds since the epoch. */
  readonly frozenAtMs: number
  /** From the runtime's pause until its resume, or until the pod was frozen. */
  readonly frozenMs: number
  /** At most so long the processes ran between dump and freeze; undefined: not at all, which was seen. */
  readonly gapMs: number | undefined
}

/**
 * Dumps a running container of this node into an empty folder: what the archive of a runtime has in it, but no tar is
 * made and nothing is copied. The container runs on afterwards, or is frozen with its pod without having run in
 * between. Throws CheckpointError CHECKPOINT_FAILED with what the runtime said, KubernetesError API_UNREACHABLE when it
 * is away and nothing was begun; what was written may stay, and a pause that could not be ended is for thaw.ts.
 */
export type DirectDump = (
  target: DumpTarget,
  folder: string,
  options: {
    readonly cgroup: ContainerCgroup
    readonly freezePod: boolean
    /** Directory of its overlay with what it changed. */
    readonly upper: string
    /** Rounds of pre-copy that are in the folder: only what was written since is dumped. 0: there are none. */
    readonly rounds?: number
    /** Memory stays where it is, in a page server of the pod with this uid: freezePod is set. */
    readonly lazyPod?: string
    /** What else is written to the folder while the container is paused. */
    readonly alongside?: (signal: AbortSignal) => Promise<void>
  },
  signal: AbortSignal,
) => Promise<DirectlyDumped>

/** A dump after rounds of pre-copy that failed: without them it may succeed. */
export class PreCopiedDumpError extends CheckpointError {
  constructor(cause: Error) {
    super('CHECKPOINT_FAILED', cause.message, {cause})
  }
}

/** A container that cannot be dumped to a folder, but by an archive of the runtime. */
export class UnsuitedDumpError extends CheckpointError {
  constructor(message: string, cause: Error) {
    super('CHECKPOINT_FAILED', message, {cause})
  }
}

/**
 * Writes a tar of what was changed in an overlay, as the layer of an image would be. Throws CheckpointError,
 * UnsuitedDumpError when it cannot tell what was changed.
 */
export type PackChanges = (
  overlay: {
    /** Where it is mounted. */
    readonly rootfs: string
    readonly upper: string
  },
  path: string,
  signal: AbortSignal,
) => Promise<void>

export interface DirectDumpTools {
  readonly tasks: RuntimeTasks
  /** For dumps after rounds of pre-copy, which the runtime's own tasks do not know. */
  readonly runc: Runc
  readonly readContainer: (target: DumpTarget, signal: AbortSignal) => Promise<ContainerFacts>
  readonly packChanges: PackChanges
  /** Where the root file system of a container is mounted. */
  readonly rootfsOf: (containerId: string) => string
  readonly cgroups: Pick<Cgroups, 'freezePod' | 'holdContainer' | 'isTraced'>
  readonly pageServers: Pick<PageServers, 'prepare'>
  readonly nowMs: () => number
}

/** An agent that ends lets the container go all the same; what it does not live to do, the next one does. */
const RESUME_TIMEOUT_MS = 5_000

/** The runtime's own tasks, and the files of the container's overlay while it is paused. */
export function directDump(tools: DirectDumpTools): DirectDump {
  const {tasks, runc, cgroups, pageServers, packChanges, nowMs} = tools
  return async (target, folder, {cgroup, freezePod, lazyPod, upper, rounds = 0, alongside}, signal) => {
    const {containerId: id} = target
    const facts = await tools.readContainer(target, signal)
    for (const [name, text] of Object.entries(facts)) await writeFile(join(folder, name), text, {mode: 0o600})
    const [images, work] = [join(folder, 'checkpoint'), join(folder, 'work')]
    for (const path of [images, work]) await mkdir(path, {recursive: true, mode: 0o700})
    // A tenth of a second that the pod need not be frozen for.
    const prepared =
      lazyPod !== undefined
        ? await pageServers.prepare(lazyPod, id, {images, work}, signal)
        : rounds === 0
          ? undefined
          : await afterRounds(runc.prepare('dump', id, {images, work, parent: roundName(rounds)}, signal))

    const [frozenAtMs, pausedAtMs] = [Date.now(), nowMs()]
    await tasks.pause(id, signal).catch(async (error: unknown) => {
      await prepared?.discard().catch(() => undefined)
      throw error
    })
    let seen: {readonly frozenMs: number; readonly gapMs: number | undefined}
    try {
      const dumpedAtMs = nowMs()
      await bothOf(
        signal,
        (ended) =>
          prepared === undefined
            ? tasks.checkpoint(id, {images, work}, ended)
            : rounds > 0
              ? afterRounds(dumpWith(prepared, ended))
              : dumpWith(prepared, ended),
        (ended) => packChanges({rootfs: tools.rootfsOf(id), upper}, join(folder, 'rootfs-diff.tar'), ended),
        ...(alongside === undefined ? [] : [alongside]),
      )
      // A page server holds the processes by other means than their freezer, without which the runtime resumes nothing.
      if (lazyPod !== undefined) await cgroups.holdContainer(cgroup)
      const gap = freezePod && (await cgroups.freezePod(cgroup, signal)).gap
      if (lazyPod !== undefined && !(await cgroups.isTraced(lazyPod)))
        throw new CheckpointError('CHECKPOINT_FAILED', 'the page server of the pod has ended')
      seen = {frozenMs: nowMs() - pausedAtMs, gapMs: gap ? nowMs() - dumpedAtMs : undefined}
    } catch (error) {
      // The first error says why; a pause that stays is found by whoever thaws the pod.
      await tasks.resume(id, AbortSignal.timeout(RESUME_TIMEOUT_MS)).catch(() => undefined)
      throw error
    }
    await tasks.resume(id, AbortSignal.timeout(RESUME_TIMEOUT_MS))
    if (!freezePod) seen = {...seen, frozenMs: nowMs() - pausedAtMs}
    await rm(work, {recursive: true, force: true})
    // Whoever restores makes them again: a dump that is sent or stored has files only.
    for (const {path} of parentLinks(rounds)) await rm(join(images, path), {force: true})
    return {...seen, frozenAtMs}
  }
}

/** As long as the tasks of the runtime may take. */
const DUMP_TIMEOUT_MS = 10 * 60_000

const dumpWith = (prepared: PreparedRunc, signal: AbortSignal): Promise<void> =>
  prepared.run(AbortSignal.any([signal, AbortSignal.timeout(DUMP_TIMEOUT_MS)]))

const afterRounds = <T>(dumping: Promise<T>): Promise<T> =>
  dumping.catch((error: unknown) => {
    throw error instanceof CheckpointError ? new PreCopiedDumpError(error) : error
  })

/** Does both at the same time; when one fails the other is ended, and waited for: nothing writes afterwards. */
async function bothOf(
  signal: AbortSignal,
  ...steps: readonly ((signal: AbortSignal) => Promise<void>)[]
): Promise<void> {
  const failing = new AbortController()
  const ended = AbortSignal.any([signal, failing.signal])
  const errors: unknown[] = []
  await Promise.all(
    steps.map((step) =>
      step(ended).catch((error: unknown) => {
        errors.push(error)
        failing.abort(error)
      }),
    ),
  )
  if (errors.length > 0) throw errors[0]
}
