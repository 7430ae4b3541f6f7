import type {FieldChange, ObjectChange, ReleasePlan} from '../platform/release/types.ts'
import type {ResultOptions} from './result-options.ts'

const SIGNS = {create: '+', update: '~', replace: '±', delete: '-'} as const
const LONGEST_VALUE = 100

/** What a release would change, object by object and field by field. */
export function releasePlanText(plan: ReleasePlan, options: ResultOptions): string {
  const {bold} = options.colours
  const {name, version} = plan.release
  const from = plan.installed?.version
  const change = from === undefined ? `${version}, new` : from === version ? version : `${from} to ${version}`
  const head = bold(`${name} (${change})`)
  return [head, ...plan.changes.flatMap((one) => changeLines(one, options))].join('\n')
}

function changeLines({ref, action, fields, driftedBy}: ObjectChange, {colours}: ResultOptions): string[] {
  const paint = {create: colours.green, update: colours.yellow, replace: colours.red, delete: colours.red}
  const object = `${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`
  const by = driftedBy === undefined ? '' : ` (changed by ${driftedBy})`
  return [`  ${paint[action](`${SIGNS[action]} ${action} ${object}`)}${by}`, ...fields.map(fieldLine)]
}

const fieldLine = ({path, before, after}: FieldChange): string =>
  `      ${path}: ${valueText(before)} -> ${valueText(after)}`

function valueText(value: unknown): string {
  if (value === undefined) return 'absent'
  const text = JSON.stringify(value)
  return text.length > LONGEST_VALUE ? `${text.slice(0, LONGEST_VALUE)}…` : text
}

/** `2 addons: 9 objects to create, 1 to delete`. */
export function countChanges(plans: readonly ReleasePlan[], noun: string): string {
  const changes = plans.flatMap((plan) => plan.changes)
  const counts = (['create', 'update', 'replace', 'delete'] as const).flatMap((action) => {
    const count = changes.filter((change) => change.action === action).length
    return count === 0 ? [] : [`${count} to ${action}`]
  })
  return `${plans.length} ${noun}${plans.length === 1 ? '' : 's'}: objects ${counts.join(', ')}`
}

/** What cannot be undone: objects that are deleted, alone or to be created again. */
export function riskOf(plans: readonly ReleasePlan[]): readonly string[] {
  return plans.flatMap(({changes}) =>
    changes
      .filter(({action}) => action === 'delete' || action === 'replace')
      .map(
        ({action, ref}) =>
          `${action} ${ref.kind} ${ref.namespace === undefined ? '' : `${ref.namespace}/`}${ref.name}`,
      ),
  )
}
