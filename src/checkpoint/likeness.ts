import type {NodeFeatures} from '../api/sealed-checkpoint.ts'

const TOLD = 8

/**
 * Why processes of one node cannot go on at another; empty: they can. They keep using what they found of a CPU at
 * their start.
 */
export function unlike(
  source: Pick<NodeFeatures, 'arch' | 'cpuFeatures'>,
  target: Pick<NodeFeatures, 'arch' | 'cpuFeatures' | 'cpuModel'>,
): string | undefined {
  if (source.arch !== target.arch)
    return `its architecture is ${target.arch}, but the checkpoint is for ${source.arch}`
  const own = new Set(target.cpuFeatures)
  const missing = source.cpuFeatures.filter((feature) => !own.has(feature))
  if (missing.length === 0) return undefined
  const rest = missing.length > TOLD ? ` and ${missing.length - TOLD} more` : ''
  return `its CPU (${target.cpuModel}) lacks ${missing.slice(0, TOLD).join(', ')}${rest}`
}
