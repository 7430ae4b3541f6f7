import type {StackResult} from '../platform/graph/apply.ts'
import type {DestroyResult} from '../platform/graph/destroy.ts'
import type {ServicePlan, StackPlan} from '../platform/graph/plan.ts'
import type {ServiceStatus, StackStatus} from '../platform/graph/status.ts'
import type {ObjectChange} from '../platform/release/types.ts'
import {formatDuration} from './duration.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

const MARKS = {create: '+', update: '~', replace: '±', delete: '-'} as const
const SERVICE_MARKS = {none: ' ', install: '+', upgrade: '~', retry: '~', remove: '-', unknown: '?'} as const

const placeOf = ({ref: {kind, namespace, name}}: Pick<ObjectChange, 'ref'>): string =>
  `${kind} ${namespace === undefined ? '' : `${namespace}/`}${name}`

/** A value as a plan shows it, in one line. */
function valueText(value: unknown): string {
  if (value === undefined) return 'absent'
  const text = typeof value === 'string' ? value : JSON.stringify(value)
  return text.length > 80 ? `${text.slice(0, 79)}…` : text
}

/** The objects that would change, each with its fields. */
function changeLines(change: ObjectChange, {colours}: ResultOptions): readonly string[] {
  const paint = {create: colours.green, update: colours.yellow, replace: colours.red, delete: colours.red}[
    change.action
  ]
  const by = change.driftedBy === undefined ? '' : ` (changed by ${change.driftedBy})`
  return [
    `    ${paint(MARKS[change.action])} ${placeOf(change)}${by}`,
    ...change.fields.map(
      ({path, before, after}) => `        ${path}: ${valueText(before)} -> ${valueText(after)}`,
    ),
  ]
}

function serviceLines(plan: ServicePlan, options: ResultOptions): readonly string[] {
  const words = {
    none: '',
    install: 'install',
    upgrade: 'change',
    retry: 'apply again: the last apply failed',
    remove: 'remove',
    unknown: 'known after apply',
  }
  return [
    `${SERVICE_MARKS[plan.action]} ${options.colours.bold(plan.service)}: ${words[plan.action]}`,
    ...plan.changes.flatMap((change) => changeLines(change, options)),
    ...(plan.waitsFor.length === 0 ? [] : [`    waits for ${plan.waitsFor.join(', ')}`]),
    ...plan.notes.map((note) => `    ${note}`),
  ]
}

/** `3 services to change, 12 objects`. */
function countText({services, namespaces}: StackPlan): string {
  const changing = services.filter(({action}) => action !== 'none')
  const objects = changing.reduce((sum, {changes}) => sum + changes.length, namespaces.length)
  return `${changing.length} of ${services.length} services to change, ${objects} ${objects === 1 ? 'object' : 'objects'}`
}

export function stackPlanText(
  plan: StackPlan,
  options: ResultOptions,
  goal: 'apply' | 'drift' = 'apply',
): string {
  if (!plan.hasChanges) {
    return goal === 'drift'
      ? `stack ${plan.stack} is as applied: no drift`
      : `stack ${plan.stack} is up to date: nothing to do`
  }
  const changing = plan.services.filter(({action}) => action !== 'none')
  const lacking = plan.preflight.map(({path, problem}) => options.colours.red(`  ${path}: ${problem}`))
  return [
    ...plan.namespaces.flatMap((change) => changeLines(change, options)),
    ...changing.flatMap((service) => serviceLines(service, options)),
    ...(lacking.length === 0 ? [] : ['', 'The cluster lacks:', ...lacking]),
    '',
    `${plan.stack}: ${countText(plan)}; nothing was changed`,
  ].join('\n')
}

/** Before an apply; undefined: there is nothing to ask about. */
export function stackQuestion(plan: StackPlan, target: string): string | undefined {
  if (!plan.hasChanges) return undefined
  const gone = plan.services.filter(({action}) => action === 'remove').map(({service}) => service)
  const removal = gone.length === 0 ? '' : ` This removes ${gone.join(', ')} with all data in their objects.`
  return `Apply stack ${plan.stack} to ${target}: ${countText(plan)}?${removal}`
}

export function stackResultText(result: StackResult, options: ResultOptions): string {
  const {services, stack, revision} = result
  const changed = services.filter(({outcome}) => outcome !== 'unchanged')
  if (changed.length === 0) return `stack ${stack} is up to date at revision ${revision}`
  const table = renderTable(
    [
      {title: 'service', text: ({service}: (typeof services)[number]) => service},
      {title: 'outcome', text: ({outcome}) => outcome},
      {title: 'changes', text: ({changes}) => String(changes)},
      {title: 'time', text: ({durationMs}) => formatDuration(durationMs)},
    ],
    changed,
    {columns: options.columns, heading: options.colours.bold},
  )
  const rest = services.length - changed.length
  return [
    table,
    options.colours.green(
      `stack ${stack} is deployed as revision ${revision}${rest === 0 ? '' : `; ${rest} ${rest === 1 ? 'service' : 'services'} unchanged`}`,
    ),
  ].join('\n\n')
}

function serviceProblem({message, notReady}: ServiceStatus): string {
  const [first] = notReady
  const more = notReady.length > 1 ? ` and ${notReady.length - 1} more` : ''
  return message ?? (first === undefined ? '' : `${placeOf(first)}: ${first.problem}${more}`)
}

export function stackStatusText(status: StackStatus, options: ResultOptions): string {
  const {bold, green, red} = options.colours
  const table = renderTable<ServiceStatus>(
    [
      {title: 'service', text: ({service}) => service},
      {title: 'namespace', text: ({namespace}) => namespace},
      {
        title: 'state',
        text: ({state, notReady}) => (state === 'deployed' && notReady.length > 0 ? 'not ready' : state),
      },
      {title: 'objects', text: ({objects}) => String(objects)},
      {title: 'needs', text: ({needs}) => needs.join(', ')},
      {title: 'problem', text: serviceProblem},
    ],
    status.services,
    {columns: options.columns, heading: bold},
  )
  const environment = status.environment === undefined ? '' : `, environment ${status.environment}`
  const revisions = status.revisions.map(({revision, state, appliedAt, rollbackTo}) => {
    return `  ${revision}  ${state}  ${appliedAt}${rollbackTo === undefined ? '' : `  rollback to ${rollbackTo}`}`
  })
  return [
    table,
    `${status.isReady ? green('ready') : red('not ready')}: stack ${status.stack}, revision ${status.revision} (${status.state}${environment})`,
    ['Revisions:', ...revisions].join('\n'),
  ].join('\n\n')
}

export function stackListText(all: readonly StackStatus[], options: ResultOptions): string {
  if (all.length === 0) return 'the cluster has no stacks'
  return renderTable<StackStatus>(
    [
      {title: 'stack', text: ({stack}) => stack},
      {title: 'revision', text: ({revision}) => String(revision)},
      {title: 'state', text: ({state}) => state},
      {title: 'environment', text: ({environment}) => environment},
      {title: 'services', text: ({services}) => String(services.length)},
      {title: 'ready', text: ({isReady}) => (isReady ? 'yes' : 'no')},
      {title: 'applied', text: ({appliedAt}) => appliedAt},
    ],
    all,
    {columns: options.columns, heading: options.colours.bold},
  )
}

export const stackDestroyText = ({stack, removed}: DestroyResult): string =>
  [`stack ${stack} is removed: ${removed.length} services`, ...removed.map((service) => `  ${service}`)].join(
    '\n',
  )
