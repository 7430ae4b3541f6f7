import type {AddonDiff} from '../workflows/addon/diff.ts'
import type {AddonChangeResult} from '../workflows/addon/install.ts'
import type {AddonList, AddonRow} from '../workflows/addon/list.ts'
import type {AddonStatus, AddonStatusResult} from '../workflows/addon/status.ts'
import {countChanges, releasePlanText} from './release-plan.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

export function addonsText({cluster, addons}: AddonList, options: ResultOptions): string {
  const table = renderTable<AddonRow>(
    [
      {title: 'addon', text: ({id}) => id},
      {title: 'version', text: ({version}) => version},
      {title: 'profile', text: ({profile}) => profile},
      {title: 'installed', text: installedText},
      {
        title: 'description',
        text: ({description, unavailable}) => unavailableText(unavailable) ?? description,
      },
    ],
    addons,
    {columns: options.columns, heading: options.colours.bold},
  )
  const upgrades = addons.filter(({upgrade}) => upgrade !== undefined)
  const next = upgrades.length === 0 ? [] : [`Next:\n  clouder addon upgrade --cluster ${cluster}`]
  return [table, ...next].join('\n\n')
}

const unavailableText = (reason: string | undefined): string | undefined =>
  reason === undefined ? undefined : `not possible here: ${reason}`

function installedText({installed, upgrade, isSelected}: AddonRow): string | undefined {
  if (installed === undefined) return isSelected ? 'not yet' : undefined
  const {version, revision, state} = installed
  const shown = `${version} (revision ${revision}${state === 'deployed' ? '' : `, ${state}`})`
  return upgrade === undefined ? shown : `${shown}, upgrade to ${upgrade}`
}

/** Addons, their objects, and what is wrong with these, as a tree. */
export function addonStatusText(
  {cluster, addons, isReady}: AddonStatusResult,
  options: ResultOptions,
): string {
  if (addons.length === 0) return `no addon is installed in ${cluster}`
  const {green, red} = options.colours
  const count = addons.filter((addon) => addon.isReady).length
  const verdict = `${cluster}: ${count} of ${addons.length} addons ready`
  return [...addons.map((addon) => statusLines(addon, options)), (isReady ? green : red)(verdict)].join(
    '\n\n',
  )
}

function statusLines(addon: AddonStatus, {colours}: ResultOptions): string {
  const {green, yellow, red, bold} = colours
  const sign = addon.isReady ? green('ok') : red('not ready')
  const head = `${bold(addon.id)} ${addon.version}, revision ${addon.revision} ${addon.state}: ${sign}`
  const objects = addon.objects.flatMap(({object, isReady, isStuck, problems}) => [
    `  ${isReady ? green('✓') : (isStuck ? red : yellow)('✗')} ${object}`,
    ...problems.map((problem) => `      ${problem}`),
  ])
  const {otherObjects: count} = addon
  const others = count === 0 ? [] : [`  and ${count} more object${count === 1 ? '' : 's'}`]
  const message = addon.message === undefined ? [] : [`  ${addon.message}`]
  const explanation = (addon.explanation?.split('\n') ?? []).map((line) => `  ${line}`)
  return [head, ...message, ...objects, ...others, ...explanation].join('\n')
}

export function addonDiffText({cluster, plans}: AddonDiff, options: ResultOptions): string {
  if (plans.length === 0) return `${cluster}: every addon is as it should be`
  return [
    ...plans.map((plan) => releasePlanText(plan, options)),
    `${countChanges(plans, 'addon')}; nothing was changed`,
  ].join('\n\n')
}

export function addonChangeText(result: AddonChangeResult, options: ResultOptions): string {
  const {cluster, plans, dryRun} = result
  if (dryRun) return addonDiffText({cluster, plans}, options)
  if (plans.length === 0) return `${cluster}: nothing to do, every addon is as it should be`
  const names = plans.map(({release: {name, version}}) => `${name} ${version}`).join(', ')
  return options.colours.green(`${cluster}: installed ${names}`)
}
