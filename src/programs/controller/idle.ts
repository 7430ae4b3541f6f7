import type {ReconcileContext} from './reconcile-context.ts'

/** A node's figures are asked for once in so long, however many policies look at them. */
const FRESH_MS = 15_000

interface Sample {
  readonly atMs: number
  readonly cpuMs: number
}

/** How long pods have used less CPU than asked, from two or more looks; what was before the first is not known. */
export interface IdleTimes {
  /** Milliseconds since when the pod has been below `cores`; undefined: it is not, or it is not known yet. */
  idleMs(
    policy: string,
    pod: {readonly uid: string; readonly node: string; readonly cores: number},
    context: ReconcileContext,
  ): Promise<number | undefined>
  /** Whether the pod has been busy since this was last noted. */
  note(policy: string, uid: string): void
  isNoted(policy: string, uid: string): boolean
  /** Forgets pods that a policy does not mean any more. */
  keepOnly(policy: string, uids: ReadonlySet<string>): void
}

export function idleTimes(): IdleTimes {
  const nodes = new Map<string, {atMs: number; pods: Map<string, Sample>}>()
  const last = new Map<string, Sample>()
  const since = new Map<string, number>()
  const noted = new Set<string>()
  return {
    async idleMs(policy, {uid, node, cores}, context) {
      const key = `${policy} ${uid}`
      const sample = (await cpuUsageOf(node, nodes, context)).get(uid)
      const before = last.get(key)
      if (sample === undefined) return undefined
      // Several policies look at one sample: the same one again says nothing new.
      if (before === undefined || sample.atMs > before.atMs) {
        last.set(key, sample)
        const used = before === undefined ? 0 : (sample.cpuMs - before.cpuMs) / (sample.atMs - before.atMs)
        if (before === undefined) since.set(key, sample.atMs)
        else if (used < 0 || used > cores) {
          since.set(key, sample.atMs)
          noted.delete(key)
          return undefined
        }
      }
      const sinceMs = since.get(key)
      return sinceMs === undefined ? undefined : sample.atMs - sinceMs
    },
    note: (policy, uid) => void noted.add(`${policy} ${uid}`),
    isNoted: (policy, uid) => noted.has(`${policy} ${uid}`),
    keepOnly(policy, uids) {
      for (const seen of [last, since, noted])
        for (const key of seen.keys())
          if (key.startsWith(`${policy} `) && !uids.has(key.slice(policy.length + 1))) seen.delete(key)
    },
  }
}

async function cpuUsageOf(
  node: string,
  nodes: Map<string, {atMs: number; pods: Map<string, Sample>}>,
  {usageOf, now, signal, log}: ReconcileContext,
): Promise<Map<string, Sample>> {
  const known = nodes.get(node)
  if (known !== undefined && now() - known.atMs < FRESH_MS) return known.pods
  const pods = new Map<string, Sample>()
  try {
    const usage = await usageOf(node)
    for (const [uid, cpuMs] of Object.entries(usage.pods)) pods.set(uid, {atMs: usage.atMs, cpuMs})
  } catch (error) {
    signal.throwIfAborted()
    // Nothing is known: asked again after the same time, whatever the policies.
    log('warn', 'could not read the CPU time of pods', {node, error: String(error)})
  }
  nodes.set(node, {atMs: now(), pods})
  return pods
}
