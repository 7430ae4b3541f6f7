import {waitFor} from '../../base/waiting.ts'
import type {AgentTools} from './tools.ts'

/** As long as a dump that nobody waits for any more may go on. */
const BROKEN_OFF_MS = 60_000
const LOOK_EVERY_MS = 50

type Tools = Pick<AgentTools, 'cgroups' | 'pageServers' | 'shims' | 'signal' | 'log'>

/**
 * Lets a pod go on, whatever stopped it: its freezers, a dump that was broken off, a pause whose asker died. CRIU sets
 * the freezer again when it is done, so it is waited for; and a container that its shim takes for paused would be ended
 * by the next containerd, so that is put right at once.
 */
export async function resumePod(podUid: string, tools: Tools): Promise<void> {
  const {cgroups, pageServers, signal, log} = tools
  await waitFor({
    what: `the dump of pod ${podUid} to end`,
    timeoutMs: BROKEN_OFF_MS,
    intervalMs: LOOK_EVERY_MS,
    signal,
    check: async () => {
      await pageServers.end(podUid, signal).catch((error: unknown) => {
        signal.throwIfAborted()
        log('warn', 'could not end the page server of a pod', {podUid, error: String(error)})
      })
      const resumed = await endPauses(podUid, tools)
      if (await cgroups.isTraced(podUid)) return {seen: 'its processes are still being traced'}
      return resumed
        ? {value: true, seen: 'it is no longer paused or traced'}
        : {seen: 'a container is still paused in its shim'}
    },
  }).catch((error: unknown) => {
    signal.throwIfAborted()
    // A debugger may hold a process for as long as it likes.
    log('warn', 'thawing a pod that is still traced or paused', {podUid, error: String(error)})
  })
  await cgroups.thaw(podUid)
}

/** Whether something of a pod is frozen, or taken for paused by its shim. */
export async function isStopped(
  podUid: string,
  {cgroups, shims}: Pick<AgentTools, 'cgroups' | 'shims'>,
): Promise<boolean> {
  if (await cgroups.isFrozen(podUid)) return true
  for (const {id} of await cgroups.containers(podUid)) if (await shims.isPaused(id)) return true
  return false
}

/** Whether no container is paused any more; one that cannot be resumed yet is tried again. */
async function endPauses(
  podUid: string,
  {cgroups, shims, log}: Pick<Tools, 'cgroups' | 'shims' | 'log'>,
): Promise<boolean> {
  let resumed = true
  for (const {id, cgroup} of await cgroups.containers(podUid)) {
    try {
      if (!(await shims.isPaused(id))) continue
      log('info', 'resuming a container whose pause was never ended', {podUid, container: id})
      // runc resumes only what it finds frozen.
      await cgroups.holdContainer(cgroup)
      await shims.resume(id)
    } catch (error) {
      log('warn', 'could not resume a paused container', {podUid, container: id, error: String(error)})
      resumed = false
    }
  }
  return resumed
}
