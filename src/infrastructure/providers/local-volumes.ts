import type {ContainerEngine} from '../containers/container-engine.ts'
import {InfrastructureError} from '../errors.ts'
import {waitFor} from '../../base/waiting.ts'

const REMOVAL_TIMEOUT_MS = 30_000

/**
 * Removes volumes, and first every container with the labels. An engine ends what a killed run asked for, so that a
 * container may come to a volume while it is being removed: then all of it again. Throws TimeoutError with what the
 * engine said last.
 */
export async function removeVolumes(
  engine: ContainerEngine,
  labels: Readonly<Record<string, string>>,
  volumes: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  if (volumes.length === 0) return
  await waitFor({
    what: `volumes ${volumes.join(', ')} to be gone`,
    check: async () => {
      try {
        for (const {id} of await engine.listContainers(labels)) await engine.removeContainer(id)
        for (const volume of volumes) await engine.removeVolume(volume)
        return {value: true, seen: 'gone'}
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof InfrastructureError) || error.code !== 'ENGINE_FAILED') throw error
        return {seen: error.message}
      }
    },
    timeoutMs: REMOVAL_TIMEOUT_MS,
    intervalMs: 200,
    signal,
  })
}
