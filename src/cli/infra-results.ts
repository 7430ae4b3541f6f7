import type {InfraApplyResult, InfraPlanResult} from '../workflows/infra/infra.ts'
import {costLine} from './cost-results.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

type Change = InfraPlanResult['changes'][number]
type Kind = 'create' | 'change' | 'replace' | 'remove'

const kinds = ['create', 'change', 'replace', 'remove'] as const
const marks: Readonly<Record<Kind, string>> = {create: '+', change: '~', replace: '±', remove: '-'}
/** A comment on GitHub holds 65536 characters. */
const markdownRows = 500

function kindOf({actions}: Change): Kind {
  const [isMade, goes] = [actions.includes('create'), actions.includes('delete')]
  if (isMade) return goes ? 'replace' : 'create'
  return goes ? 'remove' : 'change'
}

/** `3 to create, 1 to change`; of a drift `1 changed, 2 removed` there. */
function countText({changes, goal}: InfraPlanResult): string {
  const past = {create: 'made', change: 'changed', replace: 'replaced', remove: 'removed'}
  const counted = kinds.flatMap((kind) => {
    const count = changes.filter((change) => kindOf(change) === kind).length
    if (count === 0) return []
    return [goal === 'drift' ? `${count} ${past[kind]}` : `${count} to ${kind}`]
  })
  return counted.length === 0 ? 'only outputs change' : counted.join(', ')
}

function whyText(change: Change, goal: InfraPlanResult['goal']): string {
  const {reason, attributes = []} = change
  if (reason !== undefined) return reason
  if (attributes.length > 0) return attributes.join(', ')
  if (goal === 'destroy') return ''
  return kindOf(change) === 'create' ? 'does not exist' : ''
}

function nothingText({cluster, goal}: InfraPlanResult): string {
  switch (goal) {
    case 'apply':
      return `the infrastructure of ${cluster} is up to date: nothing to do`
    case 'destroy':
      return `${cluster} has nothing to remove`
    case 'drift':
      return `${cluster} is as applied: no drift`
  }
}

/** A plan for people. */
export function infraPlanText(plan: InfraPlanResult, options: ResultOptions): string {
  const saved = plan.file === undefined ? [] : [`saved: clouder infra apply --plan ${plan.file}`]
  if (!plan.hasChanges) return [nothingText(plan), ...saved].join('\n')
  const {green, yellow, red, bold} = options.colours
  const paint: Readonly<Record<Kind, (text: string) => string>> = {
    create: green,
    change: yellow,
    replace: red,
    remove: red,
  }
  const table = renderTable<Change>(
    [
      {title: '', text: (change) => paint[kindOf(change)](marks[kindOf(change)])},
      {title: 'resource', text: ({address}) => address},
      {title: 'why', text: (change) => whyText(change, plan.goal)},
    ],
    plan.changes,
    {columns: options.columns, heading: bold},
  )
  return [
    ...(plan.changes.length === 0 ? [] : [table]),
    ...costLines(plan),
    [`${plan.cluster}: ${countText(plan)}; nothing was changed`, ...saved].join('\n'),
  ].join('\n\n')
}

/** A plan as a comment of a pull request. */
export function infraPlanMarkdown(plan: InfraPlanResult): string {
  const {cluster, provider, goal, changes} = plan
  const title = {apply: 'Plan', destroy: 'Destroy', drift: 'Drift'}[goal]
  const head = `### ${title} of ${cluster} (${provider})`
  if (!plan.hasChanges) return `${head}\n\n${nothingText(plan)}`
  const rows = changes
    .slice(0, markdownRows)
    .map((change) => `| ${marks[kindOf(change)]} | \`${change.address}\` | ${cell(whyText(change, goal))} |`)
  const more = changes.length > markdownRows ? [`and ${changes.length - markdownRows} more`] : []
  const table = rows.length === 0 ? [] : [['|   | resource | why |', '|---|---|---|', ...rows].join('\n')]
  return [head, `**${countText(plan)}**`, ...table, ...more, ...costLines(plan)].join('\n\n')
}

const costLines = ({cost}: InfraPlanResult): readonly string[] =>
  cost === undefined ? [] : [`Cost: ${costLine(cost)}`]

const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll(/\s+/g, ' ')

export function infraApplyText(result: InfraApplyResult, options: ResultOptions): string {
  const {cluster, changes, machines, endpoint} = result
  const count = changes.length === 1 ? '1 change' : `${changes.length} changes`
  return [
    options.colours.green(`${cluster}: ${count} applied`),
    [
      ...machines.map(({name, address}) => `machine     ${name} ${address}`),
      ...(endpoint === undefined ? [] : [`API server  https://${endpoint}`]),
    ].join('\n'),
    ...(machines.length === 0 ? [] : [`Next:\n  clouder kubeadm setup ${cluster}`]),
  ]
    .filter((text) => text !== '')
    .join('\n\n')
}

export function infraDestroyText({cluster, removed}: {cluster: string; removed: readonly string[]}): string {
  if (removed.length === 0) return `${cluster} has nothing to remove`
  return [`${cluster}: ${removed.length} removed`, ...removed.map((address) => `  ${address}`)].join('\n')
}
