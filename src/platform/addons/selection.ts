import type {ConfigProblem} from '../../base/errors.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {PlatformError} from '../errors.ts'
import type {Addon, AddonProfile} from './addon.ts'
import {addonById, ADDONS} from './catalogue.ts'
import {parsedParameters} from './parameters.ts'

/** An addon that a spec wants, with its parameters: parsed, with every default. */
export interface SelectedAddon {
  readonly addon: Addon
  readonly parameters: unknown
}

const PROFILES: readonly AddonProfile[] = ['minimal', 'standard', 'full']

/** The addon that `spec.network.policies` asks for. */
const NETWORK_POLICIES = 'network-policies'

/**
 * The addons of a spec, each after what it needs: those of the profile and those that are named, less those that are
 * excluded, and what they need. One that is named and cannot be installed is an error; one that only the profile
 * names is left out then. Throws PlatformError ADDON_UNKNOWN, ADDON_UNAVAILABLE, DEPENDENCY_MISSING, DEPENDENCY_CYCLE,
 * ADDON_PARAMETERS_INVALID.
 */
export function selectAddons(
  spec: ClusterSpec,
  catalogue: readonly Addon[] = ADDONS,
): readonly SelectedAddon[] {
  const {parameters} = spec.addons
  const selected = ordered(new Selection(spec, catalogue).addons())
  for (const id of Object.keys(parameters)) addonById(id, catalogue)
  const problems: ConfigProblem[] = []
  const parsed = selected.map((addon): SelectedAddon => {
    const found = parsedParameters(addon, parameters[addon.id], spec)
    problems.push(...found.problems)
    return {addon, parameters: found.parameters}
  })
  if (problems.length === 0) return parsed
  throw parametersInvalid(problems)
}

/** Parallel groups: what one of a group needs is in the groups before it. */
export function groupsOf(selected: readonly SelectedAddon[]): readonly (readonly SelectedAddon[])[] {
  const depths = new Map<string, number>()
  for (const {addon} of selected) {
    const needed = providersOf(
      addon,
      selected.map((other) => other.addon),
    )
    depths.set(addon.id, 1 + Math.max(-1, ...needed.map(({id}) => depths.get(id) ?? -1)))
  }
  const last = Math.max(-1, ...depths.values())
  return Array.from({length: last + 1}, (_, depth) =>
    selected.filter(({addon}) => depths.get(addon.id) === depth),
  )
}

/** Those of the addons that an addon needs, by id or for what they provide. */
export function providersOf(addon: Addon, among: readonly Addon[]): readonly Addon[] {
  return among.filter(
    (other) =>
      other.id !== addon.id &&
      addon.needs.some((need) => other.id === need || other.provides.some((given) => given === need)),
  )
}

export function parametersInvalid(problems: readonly ConfigProblem[]): PlatformError {
  const lines = problems.map(({path, value, problem}) => {
    const shown = ['string', 'number', 'boolean'].includes(typeof value) ? `${JSON.stringify(value)} ` : ''
    return `${path}: ${shown}${problem}`
  })
  const text = lines.length === 1 ? (lines[0] ?? '') : `${lines.length} problems\n  ${lines.join('\n  ')}`
  return new PlatformError('ADDON_PARAMETERS_INVALID', `parameters of addons are invalid: ${text}`, {
    suggestions: ['correct the values above; docs/addons lists the parameters of every addon'],
  })
}

/** Resolves needs, and remembers why each addon is wanted. */
class Selection {
  readonly #spec: ClusterSpec
  readonly #catalogue: readonly Addon[]
  readonly #without: ReadonlySet<string>
  readonly #chosen = new Map<string, Addon>()

  constructor(spec: ClusterSpec, catalogue: readonly Addon[]) {
    const {without} = spec.addons
    for (const id of without) addonById(id, catalogue)
    const {policies} = spec.network
    this.#spec = spec
    this.#catalogue = catalogue
    this.#without = new Set(policies === false ? [...without, NETWORK_POLICIES] : without)
  }

  addons(): readonly Addon[] {
    const {profile, install} = this.#spec.addons
    const named = [...install, ...(this.#spec.network.policies === true ? [NETWORK_POLICIES] : [])]
    for (const id of named) this.#require(addonById(id, this.#catalogue), [])
    const level = PROFILES.indexOf(profile)
    const ofProfile = this.#catalogue.filter(
      (addon) => addon.profile !== undefined && PROFILES.indexOf(addon.profile) <= level,
    )
    for (const addon of ofProfile) this.#offer(addon)
    return this.#catalogue.filter(({id}) => this.#chosen.has(id))
  }

  /** Chooses one that is named, or that one of those needs. `path`: who wants it. */
  #require(addon: Addon, path: readonly string[]): void {
    if (path.includes(addon.id)) throw cycleError([...path, addon.id])
    if (this.#chosen.has(addon.id)) return
    const reason = addon.unavailable?.(this.#spec)
    if (reason !== undefined) throw unavailableError(addon, reason, path)
    for (const need of addon.needs) {
      const provider = this.#providerOf(need)
      if (provider === 'given') continue
      if (provider === undefined) throw missingError(addon, need, this.#missingReason(need))
      this.#require(provider, [...path, addon.id])
    }
    this.#chosen.set(addon.id, addon)
  }

  /** Chooses one of the profile with all that it needs, unless something of that cannot be installed here. */
  #offer(addon: Addon): void {
    if (this.#without.has(addon.id) || !this.#isPossible(addon, [])) return
    this.#require(addon, [])
  }

  #isPossible(addon: Addon, path: readonly string[]): boolean {
    if (this.#chosen.has(addon.id)) return true
    if (path.includes(addon.id)) throw cycleError([...path, addon.id])
    if (addon.unavailable?.(this.#spec) !== undefined) return false
    return addon.needs.every((need) => {
      const provider = this.#providerOf(need)
      if (provider === 'given') return true
      // What the user excluded is the user's to decide: it is an error, not silence.
      if (provider === undefined) return this.#isExcluded(need)
      return this.#isPossible(provider, [...path, addon.id])
    })
  }

  /** Who fulfils a need: chosen already, or else the first that can be installed here; `given`: the user. */
  #providerOf(need: string): Addon | 'given' | undefined {
    if (need === 'pod-network' && this.#spec.network.cni === 'none') return 'given'
    const candidates = this.#candidatesOf(need).filter(
      ({id, unavailable}) => !this.#without.has(id) && unavailable?.(this.#spec) === undefined,
    )
    return (
      candidates.find(({id}) => this.#chosen.has(id)) ??
      candidates.find(({id}) => this.#spec.addons.install.includes(id)) ??
      candidates.find(({profile}) => profile !== undefined) ??
      (candidates.length === 1 ? candidates[0] : undefined)
    )
  }

  #candidatesOf(need: string): readonly Addon[] {
    return this.#catalogue.filter(({id, provides}) => id === need || provides.some((given) => given === need))
  }

  #isExcluded(need: string): boolean {
    return this.#candidatesOf(need).some(({id}) => this.#without.has(id))
  }

  #missingReason(need: string): {readonly why: string; readonly suggestions: readonly string[]} {
    const candidates = this.#candidatesOf(need)
    const excluded = candidates.filter(({id}) => this.#without.has(id)).map(({id}) => id)
    const possible = candidates
      .filter(({id, unavailable}) => !this.#without.has(id) && unavailable?.(this.#spec) === undefined)
      .map(({id}) => id)
    if (excluded.length > 0)
      return {
        why: `${excluded.join(' and ')} is excluded`,
        suggestions: excluded.map((id) => `remove ${id} from spec.addons.without and --without`),
      }
    if (possible.length > 0)
      return {
        why: `several addons provide it: ${possible.join(', ')}`,
        suggestions: possible.map((id) => `--with ${id}`),
      }
    const reasons = candidates.map(({id, unavailable}) => `${id}: ${unavailable?.(this.#spec) ?? ''}`)
    return {
      why:
        reasons.length === 0 ? 'no addon provides it' : `it cannot be installed here (${reasons.join('; ')})`,
      suggestions: [],
    }
  }
}

/** Each after those that it needs, else in the order of the catalogue. */
function ordered(addons: readonly Addon[]): readonly Addon[] {
  const done = new Map<string, Addon>()
  const visit = (addon: Addon, path: readonly string[]): void => {
    if (path.includes(addon.id)) throw cycleError([...path, addon.id])
    if (done.has(addon.id)) return
    for (const needed of providersOf(addon, addons)) visit(needed, [...path, addon.id])
    done.set(addon.id, addon)
  }
  for (const addon of addons) visit(addon, [])
  return [...done.values()]
}

function cycleError(path: readonly string[]): PlatformError {
  const start = path.indexOf(path.at(-1) ?? '')
  return new PlatformError('DEPENDENCY_CYCLE', `addons need each other: ${path.slice(start).join(' -> ')}`)
}

function unavailableError(addon: Addon, reason: string, path: readonly string[]): PlatformError {
  const by = path.length === 0 ? '' : `, which ${path.at(-1) ?? ''} needs`
  return new PlatformError('ADDON_UNAVAILABLE', `addon ${addon.id}${by} cannot be installed: ${reason}`)
}

function missingError(
  addon: Addon,
  need: string,
  {why, suggestions}: {readonly why: string; readonly suggestions: readonly string[]},
): PlatformError {
  return new PlatformError('DEPENDENCY_MISSING', `addon ${addon.id} needs ${need}: ${why}`, {
    suggestions: [...suggestions, `or leave it out: --without ${addon.id}`],
  })
}
