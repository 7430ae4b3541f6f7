import {mkdir, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {ContainerCgroup, Cgroups} from './cgroups.ts'
import type {DumpTarget} from './container-checkpoint.ts'
import type {ContainerFacts} from './runtime-container.ts'
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
    /** What else is written to the folder while the container is paused. */
    readonly alongside?: (signal: AbortSignal) => Promise<void>
  },
  signal: AbortSignal,
) => Promise<DirectlyDumped>

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
  readonly readContainer: (target: DumpTarget, signal: AbortSignal) => Promise<ContainerFacts>
  readonly packChanges: PackChanges
  /** Where the root file system of a container is mounted. */
  readonly rootfsOf: (containerId: string) => string
  readonly cgroups: Pick<Cgroups, 'freezePod'>
  readonly nowMs: () => number
}

/** An agent that ends lets the container go all the same; what it does not live to do, the next one does. */
const RESUME_TIMEOUT_MS = 5_000

/** The runtime's own tasks, and the files of the container's overlay while it is paused. */
export function directDump(tools: DirectDumpTools): DirectDump {
  const {tasks, cgroups, packChanges, nowMs} = tools
  return async (target, folder, {cgroup, freezePod, upper, alongside}, signal) => {
    const {containerId: id} = target
    const facts = await tools.readContainer(target, signal)
    for (const [name, text] of Object.entries(facts)) await writeFile(join(folder, name), text, {mode: 0o600})
    const [images, work] = [join(folder, 'checkpoint'), join(folder, 'work')]
    for (const path of [images, work]) await mkdir(path, {mode: 0o700})

    const [frozenAtMs, pausedAtMs] = [Date.now(), nowMs()]
    await tasks.pause(id, signal)
    let seen: {readonly frozenMs: number; readonly gapMs: number | undefined}
    try {
      const dumpedAtMs = nowMs()
      await bothOf(
        signal,
        (ended) => tasks.checkpoint(id, {images, work}, ended),
        (ended) => packChanges({rootfs: tools.rootfsOf(id), upper}, join(folder, 'rootfs-diff.tar'), ended),
        ...(alongside === undefined ? [] : [alongside]),
      )
      const gap = freezePod && (await cgroups.freezePod(cgroup, signal)).gap
      seen = {frozenMs: nowMs() - pausedAtMs, gapMs: gap ? nowMs() - dumpedAtMs : undefined}
    } catch (error) {
      // The first error says why; a pause that stays is found by whoever thaws the pod.
      await tasks.resume(id, AbortSignal.timeout(RESUME_TIMEOUT_MS)).catch(() => undefined)
      throw error
    }
    await tasks.resume(id, AbortSignal.timeout(RESUME_TIMEOUT_MS))
    if (!freezePod) seen = {...seen, frozenMs: nowMs() - pausedAtMs}
    await rm(work, {recursive: true, force: true})
    return {...seen, frozenAtMs}
  }
}

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
