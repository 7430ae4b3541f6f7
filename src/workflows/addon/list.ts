import {ADDONS} from '../../platform/addons/catalogue.ts'
import {selectAddons} from '../../platform/addons/selection.ts'
import {installedReleases} from '../../platform/release/history.ts'
import type {Revision} from '../../platform/release/types.ts'
import type {AddonCluster} from './cluster.ts'

export interface AddonRow {
  readonly id: string
  readonly title: string
  readonly description: string
  /** Of the catalogue; undefined: installed by another version of clouder, and unknown here. */
  readonly version: string | undefined
  readonly profile: string | undefined
  /** Whether `init` installs it: by the profile, by name, or for another. */
  readonly isSelected: boolean
  readonly installed?: Pick<Revision, 'version' | 'revision' | 'state' | 'appliedAt'>
  /** The version that `addon upgrade` brings. */
  readonly upgrade?: string
  /** Why it cannot be installed on this cluster. */
  readonly unavailable?: string
}

export interface AddonList {
  readonly cluster: string
  readonly addons: readonly AddonRow[]
}

/** Every addon of the catalogue, and every one that is installed. */
export async function listAddons({cluster, kube, spec}: AddonCluster): Promise<AddonList> {
  const installed = new Map((await installedReleases(kube, 'addon')).map((found) => [found.name, found]))
  const selected = new Set(selectAddons(spec).map(({addon}) => addon.id))
  const known = ADDONS.map(({id, title, description, version, profile, unavailable}): AddonRow => {
    const found = installed.get(id)
    const reason = unavailable?.(spec)
    return {
      ...{id, title, description, version, profile, isSelected: selected.has(id)},
      ...(found === undefined ? {} : {installed: shortOf(found)}),
      ...(found === undefined || found.version === version ? {} : {upgrade: version}),
      ...(reason === undefined ? {} : {unavailable: reason}),
    }
  })
  const others = [...installed.values()].filter(({name}) => !ADDONS.some(({id}) => id === name))
  const unknown = others.map((found): AddonRow => ({
    ...{id: found.name, title: found.name, description: 'not in the catalogue of this version'},
    ...{version: undefined, profile: undefined, isSelected: false, installed: shortOf(found)},
  }))
  return {cluster, addons: [...known, ...unknown]}
}

const shortOf = ({version, revision, state, appliedAt}: Revision): NonNullable<AddonRow['installed']> => ({
  ...{version, revision, state, appliedAt},
})
