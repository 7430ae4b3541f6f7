import type {Cloud, OwnedResource} from '../../infrastructure/clouds/cloud.ts'
import {monthlyOf, usdText} from '../../infrastructure/cost/estimate.ts'
import {priceList} from '../../infrastructure/cost/prices.ts'
import {ClouderError, errorMessage, isTransient, TimeoutError} from '../../base/errors.ts'
import {InfrastructureError} from '../../infrastructure/errors.ts'
import {waitFor} from '../../base/waiting.ts'
import type {Tools} from '../session/types.ts'

const TIMEOUT_MS = 15 * 60_000
const INTERVAL_MS = 5_000

export interface SweepOptions {
  readonly cluster: string
  readonly cloud: Cloud
  /**
   * `controllers`: what controllers in the cluster made and would stand in Terraform's way, and volumes only when no
   * machine is there that may hold them; `all`: everything.
   */
  readonly scope: 'controllers' | 'all'
  /** Whether volumes, snapshots, file systems and buckets stay. */
  readonly keepData: boolean
  readonly timeoutMs?: number
  readonly intervalMs?: number
}

/** Something that was not removed. */
export interface Leftover {
  readonly id: string
  readonly kind: string
  readonly name: string
  readonly region: string
  /** US dollars; undefined: not known. */
  readonly monthlyUsd: number | undefined
  /** Why it is still there. */
  readonly why: string
}

export interface SweepResult {
  /** `volume data (vol-1)`. */
  readonly removed: readonly string[]
  /** Kept on purpose. */
  readonly kept: readonly Leftover[]
  readonly left: readonly Leftover[]
}

/**
 * Removes what carries the cluster's tag in the cloud, looking again until nothing of it is there: what hangs on
 * something else goes with a later look. What cannot be removed is told with the reason, and stops nothing else.
 */
export async function sweep(
  options: SweepOptions,
  tools: Pick<Tools, 'report' | 'signal' | 'now'>,
): Promise<SweepResult> {
  const task = `sweep-${options.scope}`
  const startedMs = tools.now()
  const title =
    options.scope === 'all'
      ? `Check for leftovers of ${options.cluster} in ${options.cloud.region}`
      : `Remove what controllers of ${options.cluster} created in ${options.cloud.region}`
  tools.report({type: 'task-started', task, title})
  const run = new Sweep(options, tools)
  try {
    const result = await run.untilGone((text) => tools.report({type: 'task-progress', task, text}))
    const text = `removed ${result.removed.length}, left ${result.left.length}`
    tools.report({type: 'task-done', task, durationMs: tools.now() - startedMs, text})
    return result
  } catch (error) {
    const message = errorMessage(error)
    tools.report({type: 'task-failed', task, durationMs: tools.now() - startedMs, message})
    throw error
  }
}

class Sweep {
  readonly #options: SweepOptions
  readonly #tools: Pick<Tools, 'signal'>
  readonly #asked = new Map<string, OwnedResource>()
  readonly #refused = new Map<string, string>()
  #there: readonly OwnedResource[] = []

  constructor(options: SweepOptions, tools: Pick<Tools, 'signal'>) {
    this.#options = options
    this.#tools = tools
  }

  async untilGone(onSeen: (seen: string) => void): Promise<SweepResult> {
    const {timeoutMs = TIMEOUT_MS, intervalMs = INTERVAL_MS, cluster} = this.#options
    try {
      await waitFor({
        what: `everything of ${cluster} to be deleted`,
        check: async (signal) => {
          const open = await this.#round(signal)
          return open === 0 ? {value: true, seen: 'nothing'} : {seen: `${this.#unwanted().length} items`}
        },
        timeoutMs,
        intervalMs,
        signal: this.#tools.signal,
        onSeen,
      })
    } catch (error) {
      if (!(error instanceof TimeoutError)) throw error
      // What is left is not known where the cloud does not answer.
      if (isTransient(error.cause)) throw error.cause
    }
    const there = new Set(this.#there.map(keyOf))
    return {
      removed: [...this.#asked.values()].filter((resource) => !there.has(keyOf(resource))).map(nameOf),
      kept: this.#there
        .filter((resource) => this.#isKept(resource))
        .map((resource) =>
          this.#leftover(resource, 'kept: it holds data, and the deletion policy is retain'),
        ),
      left: this.#unwanted().map((resource) =>
        this.#leftover(
          resource,
          this.#refused.get(keyOf(resource)) ?? 'still in use, or still being deleted',
        ),
      ),
    }
  }

  /** Looks, and asks for the removal of all that is there. Gives how many of them may still go by themselves. */
  async #round(signal: AbortSignal): Promise<number> {
    const {cloud, cluster} = this.#options
    this.#there = await cloud.findOwned(cluster, signal)
    this.#refused.clear()
    const unwanted = this.#unwanted()
    for (const resource of unwanted) {
      this.#asked.set(keyOf(resource), resource)
      try {
        await cloud.remove(resource, signal)
      } catch (error) {
        signal.throwIfAborted()
        if (!(error instanceof ClouderError)) throw error
        this.#refused.set(keyOf(resource), error.message)
      }
    }
    // Much is gone as soon as it was asked away.
    if (unwanted.length > 0) this.#there = await cloud.findOwned(cluster, signal)
    return this.#unwanted().filter((resource) => !this.#refused.has(keyOf(resource))).length
  }

  #unwanted(): readonly OwnedResource[] {
    return this.#there.filter(
      (resource) =>
        !this.#isKept(resource) &&
        (this.#options.scope === 'all' || (resource.madeBy === 'controller' && !this.#isHeld(resource))),
    )
  }

  /** Disks of machines, which go with them or are free after them; Azure tags neither as ours. */
  #isHeld({kind, holdsData}: OwnedResource): boolean {
    return (holdsData || kind === 'volume') && this.#there.some((each) => each.kind === 'machine')
  }

  /** What data lies in is kept, and what that lies in too. */
  #isKept({kind, holdsData}: OwnedResource): boolean {
    if (!this.#options.keepData) return false
    return holdsData || (kind === 'resource-group' && this.#there.some((each) => each.holdsData))
  }

  #leftover(resource: OwnedResource, why: string): Leftover {
    const {id, kind, name, region} = resource
    const {cloud} = this.#options
    return {id, kind, name, region, monthlyUsd: monthlyOf(resource, priceList(cloud.kind, region)), why}
  }
}

/** Ids are unique within a kind: a role and an instance profile may share one. */
const keyOf = ({kind, id}: OwnedResource): string => `${kind} ${id}`

/** `volume data (vol-1)`. */
export const nameOf = ({kind, name, id}: OwnedResource): string =>
  name === id ? `${kind} ${id}` : `${kind} ${name} (${id})`

/** Throws InfrastructureError LEFTOVERS with everything that is left; nothing is fine. */
export function throwLeftovers(cluster: string, left: readonly Leftover[]): void {
  if (left.length === 0) return
  const lines = left.map(
    ({kind, id, region, monthlyUsd, why}) => `${kind} ${id} in ${region} (${usdText(monthlyUsd)}): ${why}`,
  )
  const cost = left.reduce((sum, {monthlyUsd}) => sum + (monthlyUsd ?? 0), 0)
  throw new InfrastructureError(
    'LEFTOVERS',
    `${left.length} ${left.length === 1 ? 'item' : 'items'} of ${cluster} ${left.length === 1 ? 'is' : 'are'} left, ${usdText(cost)}:\n  ${lines.join('\n  ')}`,
    {
      suggestions: [
        `run the same command again to remove what is left: clouder kubeadm terminate ${cluster}`,
      ],
    },
  )
}
