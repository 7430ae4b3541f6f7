import type {PlannedStep} from '../bootstrap/engine/types.ts'
import type {
  ClusterDescription,
  ClusterRow,
  DoctorResult,
  InitResult,
  KubeconfigResult,
  NodeRow,
  ResetResult,
  SkippedMachine,
  SmokeResult,
  TerminateResult,
} from '../workflows/session/types.ts'
import {quoteWord} from '../base/quoting.ts'
import {costLine} from './cost-results.ts'
import type {ResultOptions} from './result-options.ts'
import {formatDuration} from './duration.ts'
import {renderTable} from './table.ts'

function tableOptions({colours, columns}: ResultOptions) {
  return {columns, heading: colours.bold}
}

export function nodesText(nodes: readonly NodeRow[], options: ResultOptions): string {
  return renderTable<NodeRow>(
    [
      {title: 'node', text: ({name}) => name},
      {title: 'role', text: ({role}) => role},
      {title: 'status', text: ({status}) => status},
      {title: 'version', text: ({version}) => version},
      {title: 'address', text: ({address}) => address},
    ],
    nodes,
    tableOptions(options),
  )
}

/** Reasons can be as long as a list of files: without a terminal's width, lines end here. */
const planColumns = 200

function stepsTable(steps: readonly PlannedStep[], options: ResultOptions): string {
  return renderTable<PlannedStep>(
    [
      {title: 'phase', text: ({phase}) => phase},
      {title: 'host', text: ({host}) => host ?? 'cluster'},
      {title: 'step', text: ({step}) => step},
      {title: 'reason', text: ({reason}) => reason},
    ],
    steps,
    {...tableOptions(options), columns: options.columns ?? planColumns},
  )
}

/** What a run would do: machines first, then steps. */
export function planText(result: InitResult, options: ResultOptions): string {
  const machines = result.machineChanges.map(({action, what, reason}) => `  ${action} ${what} (${reason})`)
  const parts = [
    ...(machines.length === 0
      ? []
      : [
          `${options.colours.bold(isMachines(result) ? 'Machines' : 'Infrastructure')}\n${machines.join('\n')}`,
        ]),
    ...(result.steps.length === 0 ? [] : [stepsTable(result.steps, options)]),
  ]
  if (parts.length === 0) return `${result.cluster} is up to date: nothing to do`
  if (machines.length > 0 && result.steps.length === 0) {
    parts.push('Steps on hosts are listed once the machines exist.')
  }
  const cost = result.cost === undefined ? [] : [`Cost: ${costLine(result.cost)}`]
  return [...parts, ...cost, `${countText(result)}; nothing was changed`].join('\n\n')
}

/** In a cloud more is made than machines: networks, roles, a bucket. */
function isMachines({machineChanges}: InitResult): boolean {
  return machineChanges.every(({what}) => what.startsWith('machine '))
}

function countText(result: InitResult): string {
  const {machineChanges, steps} = result
  const noun = isMachines(result) ? 'machine change' : 'infrastructure change'
  const counted = [
    ...(machineChanges.length === 0 ? [] : [plural(machineChanges.length, noun)]),
    ...(steps.length === 0 ? [] : [plural(steps.length, 'step')]),
  ]
  return `${counted.join(' and ')} to do`
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? '' : 's'}`
}

/** The end of create, setup, init and join. */
export function runText(result: InitResult, options: ResultOptions): string {
  const changed = result.steps.length + result.machineChanges.length > 0
  const done = result.steps.length > 0 ? plural(result.steps.length, 'step') : changesText(result)
  const head = changed
    ? `${result.cluster}: ${done} in ${formatDuration(result.durationMs)}`
    : `${result.cluster} is up to date: nothing to do (${formatDuration(result.durationMs)})`
  const facts = [
    ...(result.endpoint === undefined ? [] : [`API server  https://${result.endpoint}`]),
    ...(result.kubeconfig === undefined ? [] : [`kubeconfig  ${result.kubeconfig}`]),
    `run log     ${result.log}`,
  ]
  const nodes = result.nodes.length === 0 ? [] : [nodesText(result.nodes, options)]
  const next =
    result.kubeconfig === undefined ? nextAfterCreate(result.cluster) : nextAfterInit(result.cluster)
  return [options.colours.green(head), ...nodes, facts.join('\n'), ...next].join('\n\n')
}

const doneWord = {
  create: 'made',
  start: 'started',
  update: 'changed',
  replace: 'replaced',
  remove: 'removed',
} as const
const namedChanges = 6

/** `made machine cp-1, started machine worker-1`. */
function changesText({machineChanges}: InitResult): string {
  const named = machineChanges.slice(0, namedChanges)
  const texts = named.map(({action, what}, at) =>
    named[at - 1]?.action === action ? what : `${doneWord[action]} ${what}`,
  )
  const more = machineChanges.length - named.length
  return `${texts.join(', ')}${more === 0 ? '' : ` and ${more} more`}`
}

function nextAfterCreate(cluster: string): readonly string[] {
  return [`Next:\n  clouder kubeadm setup ${cluster}`]
}

function nextAfterInit(cluster: string): readonly string[] {
  const commands = [
    `clouder kubeadm smoke-test ${cluster}`,
    `clouder kubectl --cluster ${cluster} -- get pods -A`,
    `clouder kubeadm join ${cluster} --host user@address`,
  ]
  return [`Next:\n${commands.map((command) => `  ${command}`).join('\n')}`]
}

export function clustersText(rows: readonly ClusterRow[], options: ResultOptions): string {
  if (rows.length === 0) return 'no clusters yet: clouder kubeadm init demo --provider local --workers 2'
  return renderTable<ClusterRow>(
    [
      {title: 'name', text: ({name, isDefault}) => (isDefault ? `${name} *` : name)},
      {title: 'provider', text: ({provider}) => provider},
      {title: 'kubernetes', text: ({kubernetesVersion}) => kubernetesVersion},
      {title: 'control planes', text: ({controlPlanes}) => String(controlPlanes)},
      {title: 'workers', text: ({workers}) => String(workers)},
      {title: 'endpoint', text: ({endpoint, problem}) => problem ?? endpoint},
    ],
    rows,
    tableOptions(options),
  )
}

/** What is remembered beside what is true. */
export function descriptionText(cluster: ClusterDescription, options: ResultOptions): string {
  const {record, live} = cluster
  const facts = renderTable<readonly [string, string | undefined, string | undefined]>(
    [
      {title: '', text: ([name]) => name},
      {title: 'record', text: ([, recorded]) => recorded},
      {title: 'live', text: ([, , observed]) => observed},
    ],
    [
      ['provider', cluster.provider, undefined],
      ['api', record.endpoint, live.api],
      ['kubernetes', record.kubernetesVersion, live.kubernetesVersion],
      ['nodes', String(record.machines.length), String(live.nodes.length)],
      ['updated', record.updatedAt, undefined],
    ],
    tableOptions(options),
  )
  const differences = cluster.differences.map((text) => `  ${options.colours.yellow('!')} ${text}`)
  return [
    options.colours.bold(cluster.cluster),
    facts,
    nodesText(live.nodes, options),
    ...(differences.length === 0 ? [] : [`Record and cluster differ:\n${differences.join('\n')}`]),
    `kubeconfig  ${cluster.kubeconfig}`,
  ].join('\n\n')
}

export function resetText(result: ResetResult, dryRun: boolean, options: ResultOptions): string {
  const skipped = skippedLines(result.skipped)
  if (dryRun) {
    const tail = skipped.length === 0 ? [] : [skipped.join('\n')]
    return [stepsTable(result.steps, options), ...tail, 'nothing was changed'].join('\n\n')
  }
  const nodes = result.nodes.length === 0 ? 'no node' : result.nodes.join(', ')
  return [`${result.cluster}: reset ${nodes}, ${plural(result.steps.length, 'step')}`, ...skipped].join('\n')
}

export function terminateText(result: TerminateResult, dryRun: boolean): string {
  const head = dryRun
    ? `to remove ${result.cluster}:`
    : `${result.cluster} removed: ${plural(result.removed.length, 'item')} deleted`
  const tail = dryRun ? ['', 'nothing was changed'] : []
  const skipped = skippedLines(result.skipped)
  return [head, ...result.removed.map((line) => `  ${line}`), ...skipped, ...tail].join('\n')
}

const skippedLines = (skipped: readonly SkippedMachine[]): readonly string[] =>
  skipped.flatMap(({host, address, reason, remains}) => [
    `skipped ${host} (${address}): ${reason}`,
    `  not removed: ${remains}`,
  ])

export function smokeText(result: SmokeResult, options: ResultOptions): string {
  const {green, red} = options.colours
  const table = renderTable<SmokeResult['checks'][number]>(
    [
      {title: 'check', text: ({name}) => name},
      {title: 'result', text: ({passed}) => (passed ? green('passed') : red('FAILED'))},
      {title: 'time', text: ({durationMs}) => formatDuration(durationMs)},
      {title: 'detail', text: ({detail}) => detail},
    ],
    result.checks,
    tableOptions(options),
  )
  const passed = result.checks.filter((check) => check.passed).length
  const verdict = `${result.cluster}: ${passed} of ${result.checks.length} checks passed`
  return [table, result.passed ? green(verdict) : red(verdict)].join('\n\n')
}

export function doctorText(result: DoctorResult, options: ResultOptions): string {
  const passed = result.checks.filter(({ok}) => ok).length
  const head = `${result.cluster}: ${passed} of ${result.checks.length} checks passed`
  if (result.findings.length === 0) return options.colours.green(`${head}: healthy`)
  const findings = result.findings.map(
    ({host, check, problem, fix}) =>
      `${options.colours.bold(`${host}: ${check}`)}\n  ${problem}\n  fix: ${fix}`,
  )
  return [options.colours.red(head), ...findings].join('\n\n')
}

export function kubeconfigText(result: KubeconfigResult): string {
  const {path, mergedContext: merged, currentContext: current, previousContext: before} = result
  if (merged === undefined) return `export KUBECONFIG=${path}`
  const added = `context ${merged} is in ${path}`
  const change = (to: string): string => `kubectl config use-context ${quoteWord(to)}`
  if (current !== merged)
    return `${added}; the current context is still ${current}, to change it: ${change(merged)}`
  if (before === undefined || before === merged) return added
  return `${added} and is the current context, to switch back: ${change(before)}`
}
