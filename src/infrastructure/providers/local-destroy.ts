import {rm} from 'node:fs/promises'
import pLimit from 'p-limit'
import type {ContainerEngine} from '../containers/container-engine.ts'
import {InfrastructureError} from '../errors.ts'
import {waitFor} from '../../base/waiting.ts'
import {CLUSTER_LABEL, type ObservedCluster} from './local-decision.ts'
import {observe, type OpenEngine} from './local-observation.ts'
import {removeVolumes} from './local-volumes.ts'
import type {ProviderContext} from './provider.ts'

const REMOVALS_AT_ONCE = 8
const REMOVAL_TIMEOUT_MS = 60_000

/**
 * Removes everything with the cluster's label from every engine here, then looks again. Returns what was removed.
 * Throws InfrastructureError ENGINE_FAILED naming what is left.
 */
export async function destroyLocal(
  name: string,
  context: ProviderContext,
  engineFor: OpenEngine,
): Promise<readonly string[]> {
  const removed: string[] = []
  const limit = pLimit(REMOVALS_AT_ONCE)
  const {engines, silent} = await enginesHere(engineFor, context.signal)
  for (const engine of engines) {
    const observed = await observe(engine, name)
    await Promise.all(observed.containers.map(({id}) => limit(() => engine.removeContainer(id))))
    await waitFor({
      what: `the containers of ${name} to be gone`,
      check: async () => {
        const left = (await observe(engine, name)).containers
        return left.length === 0
          ? {value: true, seen: 'none'}
          : {seen: left.map((item) => item.name).join(', ')}
      },
      timeoutMs: REMOVAL_TIMEOUT_MS,
      intervalMs: 200,
      signal: context.signal,
    })
    const volumes = observed.volumes.map((volume) => volume.name)
    await removeVolumes(engine, {[CLUSTER_LABEL]: name}, volumes, context.signal)
    await Promise.all(observed.networks.map(({id}) => limit(() => engine.removeNetwork(id))))
    const left = linesOf(await observe(engine, name))
    if (left.length > 0) {
      throw new InfrastructureError('ENGINE_FAILED', `could not delete ${left.join(', ')} of cluster ${name}`)
    }
    removed.push(...linesOf(observed))
  }
  if (removed.length === 0) {
    for (const {message} of silent) {
      context.report({
        type: 'note',
        level: 'info',
        text: `nothing of ${name} found; could not check: ${message}`,
      })
    }
  }
  await rm(context.paths.sshKey, {force: true})
  return removed
}

interface EnginesHere {
  readonly engines: readonly ContainerEngine[]
  /** Why the others cannot be asked. */
  readonly silent: readonly InfrastructureError[]
}

/** Docker and podman where they answer: a cluster's own engine is known to its spec only, which may be lost. */
async function enginesHere(engineFor: OpenEngine, signal: AbortSignal): Promise<EnginesHere> {
  const engines: ContainerEngine[] = []
  const silent: InfrastructureError[] = []
  for (const kind of ['docker', 'podman'] as const) {
    try {
      engines.push(await engineFor(kind, signal))
    } catch (error) {
      if (!(error instanceof InfrastructureError) || error.code === 'ENGINE_FAILED') throw error
      silent.push(error)
    }
  }
  const [first] = silent
  if (engines.length === 0 && first !== undefined) throw first
  return {engines, silent}
}

function linesOf({containers, volumes, networks}: ObservedCluster): readonly string[] {
  return [
    ...containers.map(({name}) => `container ${name}`),
    ...volumes.map(({name}) => `volume ${name}`),
    ...networks.map(({name}) => `network ${name}`),
  ]
}
