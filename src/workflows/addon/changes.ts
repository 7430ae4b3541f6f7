import {z} from 'zod'
import {ADDONS} from '../../platform/addons/catalogue.ts'
import {providersOf, selectAddons, type SelectedAddon} from '../../platform/addons/selection.ts'
import type {Revision} from '../../platform/release/types.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {documentOf, specFromDocument} from '../../spec/load.ts'

/**
 * The addons that a cluster is to have: those that its spec selects, and those that are installed besides, with the
 * parameters that they have. An id that is neither is unknown or not installed, and is left out.
 */
export function wantedAddons(spec: ClusterSpec, installed: readonly Revision[]): readonly SelectedAddon[] {
  const selected = selectAddons(spec)
  const others = installed.flatMap(({name, parameters}): readonly SelectedAddon[] => {
    const addon = ADDONS.find(({id}) => id === name)
    return addon === undefined || selected.some((item) => item.addon.id === name) ? [] : [{addon, parameters}]
  })
  return [...selected, ...others]
}

/** The ids with everything that they need, of those that are selected. */
export function withNeeds(ids: readonly string[], selected: readonly SelectedAddon[]): readonly string[] {
  const addons = selected.map(({addon}) => addon)
  const found = new Set<string>()
  const visit = (id: string): void => {
    const addon = addons.find((other) => other.id === id)
    if (addon === undefined || found.has(id)) return
    found.add(id)
    for (const needed of providersOf(addon, addons)) visit(needed.id)
  }
  for (const id of ids) visit(id)
  return [...found]
}

const addonsSchema = z.looseObject({
  install: z.array(z.string()),
  without: z.array(z.string()),
  parameters: z.record(z.string(), z.record(z.string(), z.unknown())),
})
const documentSchema = z.looseObject({
  spec: z.looseObject({addons: addonsSchema, network: z.looseObject({policies: z.boolean().optional()})}),
})

/** The spec that selects these addons too; `parameters` are merged into those of the first. */
export function specWithAddons(
  spec: ClusterSpec,
  ids: readonly string[],
  parameters: Readonly<Record<string, unknown>>,
): ClusterSpec {
  const document = documentSchema.parse(documentOf(spec))
  const {addons, network} = document.spec
  const [first] = ids
  if (first !== undefined && Object.keys(parameters).length > 0)
    addons.parameters[first] = {...addons.parameters[first], ...parameters}
  addons.without = addons.without.filter((id) => !ids.includes(id))
  if (network.policies === false && ids.includes('network-policies')) network.policies = true
  const selected = new Set(selectAddons(specFromDocument(document)).map(({addon}) => addon.id))
  addons.install.push(...ids.filter((id) => !selected.has(id)))
  return specFromDocument(document)
}

/** The spec that gives an addon exactly these parameters. Throws PlatformError ADDON_PARAMETERS_INVALID. */
export function specWithParameters(spec: ClusterSpec, id: string, parameters: unknown): ClusterSpec {
  const document = documentSchema.parse(documentOf(spec))
  document.spec.addons.parameters[id] = z.record(z.string(), z.unknown()).parse(parameters ?? {})
  const changed = specFromDocument(document)
  selectAddons(changed)
  return changed
}

/** The spec that leaves an addon out. */
export function specWithoutAddon(spec: ClusterSpec, id: string): ClusterSpec {
  const document = documentSchema.parse(documentOf(spec))
  const {addons, network} = document.spec
  addons.install = addons.install.filter((other) => other !== id)
  if (network.policies === true && id === 'network-policies') network.policies = false
  const isOfProfile = ADDONS.some((addon) => addon.id === id && addon.profile !== undefined)
  if (isOfProfile && !addons.without.includes(id)) addons.without.push(id)
  return specFromDocument(document)
}
