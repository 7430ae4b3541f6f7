import type {CloudIdentity, CloudRegion, VmSize} from '../infrastructure/clouds/cloud.ts'
import type {NamedContext} from '../infrastructure/contexts/contexts.ts'
import type {SyncRow} from '../infrastructure/contexts/sync.ts'
import {accountOf, regionOf} from '../spec/context.ts'
import type {ResultOptions} from './result-options.ts'
import {renderTable} from './table.ts'

const tableOptions = ({colours, columns}: ResultOptions) => ({columns, heading: colours.bold})

export function contextsText(contexts: readonly NamedContext[], options: ResultOptions): string {
  if (contexts.length === 0)
    return 'no contexts yet: clouder ctx set prod --provider aws --region eu-central-1, or clouder ctx sync'
  return renderTable<NamedContext>(
    [
      {title: 'name', text: ({name, isCurrent}) => (isCurrent ? `${name} *` : name)},
      {title: 'provider', text: ({context}) => context.provider},
      {title: 'account', text: ({context}) => accountOf(context)},
      {title: 'region', text: ({context}) => regionOf(context)},
      {title: 'profile', text: ({context}) => (context.provider === 'aws' ? context.profile : undefined)},
    ],
    contexts,
    tableOptions(options),
  )
}

export function contextText({name, isCurrent, context}: NamedContext): string {
  const facts: readonly (readonly [string, string | undefined])[] = [
    ['provider', context.provider],
    [context.provider === 'aws' ? 'account' : 'subscription', accountOf(context)],
    [context.provider === 'aws' ? 'region' : 'location', regionOf(context)],
    ...(context.provider === 'aws' ? [['profile', context.profile] as const] : []),
  ]
  const lines = facts.map(([title, value]) => `  ${title.padEnd(14)}${value ?? '-'}`)
  return [`${name}${isCurrent ? ' (current)' : ''}`, ...lines].join('\n')
}

export function syncText(rows: readonly SyncRow[], options: ResultOptions): string {
  if (rows.length === 0) return 'no accounts found: log in with the AWS or Azure CLI first'
  return renderTable<SyncRow>(
    [
      {title: 'name', text: ({name}) => name},
      {title: 'provider', text: ({provider}) => provider},
      {title: 'account', text: ({account}) => account},
      {title: 'change', text: ({change}) => change},
      {title: 'problem', text: ({problem}) => problem ?? ''},
    ],
    rows,
    tableOptions(options),
  )
}

export function identityText(identity: CloudIdentity, context: string | undefined): string {
  const title = identity.kind === 'aws' ? 'account' : 'subscription'
  const name = identity.accountName === undefined ? '' : ` (${identity.accountName})`
  return [
    `${title.padEnd(14)}${identity.account}${name}`,
    `${'principal'.padEnd(14)}${identity.principal}`,
    `${'region'.padEnd(14)}${identity.region}`,
    `${'context'.padEnd(14)}${context ?? '-'}`,
  ].join('\n')
}

export function regionsText(regions: readonly CloudRegion[], options: ResultOptions): string {
  return renderTable<CloudRegion>(
    [
      {title: 'name', text: ({name}) => name},
      {title: 'title', text: ({title, name}) => (title === name ? undefined : title)},
      {title: 'enabled', text: ({enabled}) => (enabled ? 'yes' : 'no: opt in first')},
    ],
    regions,
    tableOptions(options),
  )
}

export function vmSizesText(sizes: readonly VmSize[], options: ResultOptions): string {
  if (sizes.length === 0) return 'no matching size'
  return renderTable<VmSize>(
    [
      {title: 'size', text: ({name}) => name},
      {title: 'vcpus', text: ({vcpus}) => String(vcpus)},
      {title: 'memory GiB', text: ({memoryGiB}) => String(memoryGiB)},
      {title: 'gpus', text: ({gpus}) => (gpus === 0 ? undefined : String(gpus))},
      {title: 'arch', text: ({arch}) => arch},
      {title: 'zones', text: ({zones}) => (zones.length === 0 ? undefined : zones.join(' '))},
      {title: 'closed', text: ({restriction}) => restriction ?? ''},
    ],
    sizes,
    tableOptions(options),
  )
}
