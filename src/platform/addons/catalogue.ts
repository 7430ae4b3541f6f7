import {distanceOf} from '../../spec/problems.ts'
import {PlatformError} from '../errors.ts'
import type {Addon} from './addon.ts'
import {checkpointAddon} from './checkpoint/addon.ts'
import {cniAddon} from './cni/addon.ts'
import {localPathStorageAddon} from './local-path-storage/addon.ts'
import {metricsServerAddon} from './metrics-server/addon.ts'
import {runtimeClassAddon} from './runtime-class/addon.ts'

/** Every addon there is. Of several that provide the same capability, the earlier one is preferred. */
export const ADDONS: readonly Addon[] = [
  cniAddon,
  runtimeClassAddon,
  checkpointAddon,
  localPathStorageAddon,
  metricsServerAddon,
]

/** Throws PlatformError ADDON_UNKNOWN, with the ids that are written nearly like it. */
export function addonById(id: string, catalogue: readonly Addon[] = ADDONS): Addon {
  const found = catalogue.find((addon) => addon.id === id)
  if (found !== undefined) return found
  const ids = catalogue.map((addon) => addon.id)
  const near = nearIds(id, ids)
  throw new PlatformError('ADDON_UNKNOWN', `no addon ${JSON.stringify(id)} in the catalogue`, {
    suggestions: [near.length > 0 ? `did you mean ${near.join(' or ')}?` : `known addons: ${ids.join(', ')}`],
  })
}

function nearIds(id: string, known: readonly string[]): readonly string[] {
  return known
    .map((other) => ({other, distance: other.startsWith(id) ? 0 : distanceOf(id.toLowerCase(), other)}))
    .filter(({other, distance}) => distance <= Math.max(1, Math.floor(other.length / 3)))
    .toSorted((one, two) => one.distance - two.distance)
    .slice(0, 3)
    .map(({other}) => other)
}
