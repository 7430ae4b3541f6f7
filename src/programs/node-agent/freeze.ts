import {once} from 'node:events'
import {join} from 'node:path'
import {Worker} from 'node:worker_threads'
import {FREEZER, type ContainerCgroup} from './cgroups.ts'
import {FREEZE_THREAD, type WatchResult, type WatchTask} from './freeze-worker.ts'

/** Runs `dump` while it watches the container's processes, and freezes their pod at the end of the dump when asked. */
export type DumpWatcher = <T>(
  cgroup: ContainerCgroup,
  options: {readonly freezePod: boolean},
  dump: () => Promise<T>,
) => Promise<{readonly answer: T; readonly seen: WatchResult}>

/** A thread of its own: the window is some 50 ms, and this one may be busy with sealing. `script` runs the worker. */
export function dumpWatcher(script: URL): DumpWatcher {
  return async (cgroup, {freezePod}, dump) => {
    const over = new SharedArrayBuffer(4)
    const worker = new Worker(script, {argv: [FREEZE_THREAD]})
    worker.postMessage(taskFor(cgroup, freezePod, over))
    const watching = once(worker, 'message')
    const seen = new Promise<WatchResult>((resolve, reject) => {
      worker.on('message', (message: WatchResult | 'watching') => {
        if (message !== 'watching') resolve(message)
      })
      worker.once('error', reject)
      worker.once('exit', (code) => reject(new Error(`the freeze thread exited with code ${code}`)))
    })
    // It is awaited below; a dump that fails first must not leave it unhandled.
    seen.catch(() => undefined)
    try {
      await watching
      const answer = await dump()
      Atomics.store(new Int32Array(over), 0, 1)
      return {answer, seen: await seen}
    } finally {
      Atomics.store(new Int32Array(over), 0, 1)
      await seen.catch(() => undefined)
      await worker.terminate()
    }
  }
}

function taskFor(cgroup: ContainerCgroup, freezePod: boolean, over: SharedArrayBuffer): WatchTask {
  const {file, freeze, self, frozenFile, frozen} = FREEZER[cgroup.version]
  return {
    selfFile: join(cgroup.container, self),
    statusFile: `/proc/${cgroup.pid}/status`,
    ...(freezePod
      ? {pod: {file: join(cgroup.pod, file), freeze, frozenFile: join(cgroup.pod, frozenFile), frozen}}
      : {}),
    over,
  }
}
