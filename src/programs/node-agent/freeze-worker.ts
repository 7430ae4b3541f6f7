import {readFileSync, writeFileSync} from 'node:fs'
import {parentPort} from 'node:worker_threads'

const POLL_MS = 0.5
const SETTLE_MS = 2_000

/** Argument of a thread of this program that watches one dump. */
export const FREEZE_THREAD = 'freeze'

export interface WatchTask {
  /** Reads 1 while containerd or CRIU holds the container's own cgroup frozen. */
  readonly selfFile: string
  /** /proc/<pid>/status of the container's first process. */
  readonly statusFile: string
  /** What to freeze in the gap, and with which words; absent: only watch. */
  readonly pod?: {
    readonly file: string
    readonly freeze: string
    readonly frozenFile: string
    readonly frozen: string
  }
  /** One 32-bit word: 0 while the dump may come, 1 once the runtime has answered. */
  readonly over: SharedArrayBuffer
}

export interface WatchResult {
  /** A tracer was seen: CRIU held the processes. */
  readonly dumped: boolean
  /** From containerd's pause until its resume. */
  readonly frozenMs: number | undefined
  /** Whether the pod was frozen. */
  readonly podFrozen: boolean
  /** At most so long the processes ran between dump and freeze; undefined: not at all, which was seen. */
  readonly gapMs: number | undefined
}

/** Reads of small files of the kernel in place of a stream of events, which it has not. */
export interface KernelFiles {
  /** Trimmed; undefined: it is gone. */
  read(path: string): string | undefined
  write(path: string, text: string): void
  nowMs(): number
  pause(durationMs: number): void
}

/**
 * Watches one dump. The kernel shows in this order: the container's freezer set (containerd's pause), a tracer (CRIU;
 * it thaws the freezer while it works and sets it again), no tracer with the freezer still set, freezer clear
 * (containerd's resume, some 50 ms later). In the last but one the pod is frozen, so that the resume changes nothing.
 */
export function watchDump(task: WatchTask, files: KernelFiles): WatchResult {
  const over = new Int32Array(task.over)
  let pausedAtMs: number | undefined
  let resumedAtMs: number | undefined
  let dumped = false
  let heldAtMs: number | undefined
  for (;;) {
    // Read before the files: what they say afterwards is the last word.
    const last = Atomics.load(over, 0) === 1
    const status = files.read(task.statusFile)
    const nowMs = files.nowMs()
    const frozen = files.read(task.selfFile) === '1'
    const traced = status !== undefined && (/^TracerPid:\s*(\d+)/m.exec(status)?.[1] ?? '0') !== '0'
    if (frozen || traced) {
      pausedAtMs ??= nowMs
      heldAtMs = nowMs
    }
    dumped ||= traced
    if (dumped && !traced) {
      if (task.pod !== undefined) return freezePod(task, task.pod, files, {pausedAtMs, heldAtMs})
      if (!frozen) resumedAtMs ??= nowMs
    }
    if (resumedAtMs !== undefined || last || status === undefined) {
      const frozenMs =
        pausedAtMs === undefined || !dumped ? undefined : (resumedAtMs ?? files.nowMs()) - pausedAtMs
      return {dumped, frozenMs, podFrozen: false, gapMs: undefined}
    }
    files.pause(POLL_MS)
  }
}

function freezePod(
  task: WatchTask,
  pod: NonNullable<WatchTask['pod']>,
  files: KernelFiles,
  seen: {readonly pausedAtMs: number | undefined; readonly heldAtMs: number | undefined},
): WatchResult {
  files.write(pod.file, pod.freeze)
  const held = files.read(task.selfFile) === '1'
  const deadlineMs = files.nowMs() + SETTLE_MS
  let podFrozen = isFrozen(pod, files)
  while (!podFrozen && files.nowMs() < deadlineMs) {
    files.pause(POLL_MS)
    podFrozen = isFrozen(pod, files)
  }
  const nowMs = files.nowMs()
  return {
    dumped: true,
    frozenMs: seen.pausedAtMs === undefined ? undefined : nowMs - seen.pausedAtMs,
    podFrozen,
    gapMs: held ? undefined : nowMs - (seen.heldAtMs ?? nowMs),
  }
}

const isFrozen = (pod: NonNullable<WatchTask['pod']>, files: KernelFiles): boolean =>
  files.read(pod.frozenFile)?.includes(pod.frozen) === true

const kernelFiles: KernelFiles = {
  read(path) {
    try {
      return readFileSync(path, 'utf8').trim()
    } catch {
      // The process or its cgroup has ended.
      return undefined
    }
  },
  write: (path, text) => writeFileSync(path, text),
  nowMs: () => performance.now(),
  pause: (durationMs) => void Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, durationMs),
}

/** The body of the thread: says that it watches, watches the dump that it is told of, and tells the result. */
export function runFreezeWorker(): void {
  const port = parentPort
  port?.once('message', (task: WatchTask) => {
    port.postMessage('watching')
    port.postMessage(watchDump(task, kernelFiles))
  })
}
