import {z} from 'zod'
import {ConfigError} from '../../base/errors.ts'
import {machineSchema, type Machine} from '../../spec/machine.ts'
import type {ResourceChange, Terraform, TerraformPlan} from '../../terraform/types.ts'
import type {MachineChange, ProviderContext} from './provider.ts'

/** How a provider's machines look in Terraform. */
export interface MachineKind {
  /** Type of the resources that are machines. Their names there are those of their nodes. */
  readonly machineType: string
  /** Arguments that the provider changes only on a machine that it stops for that. */
  readonly stoppedFor: readonly string[]
}

/** aws_instance of provider 6: what `resourceInstanceUpdate` stops the instance for. */
export const AWS_MACHINES: MachineKind = {
  machineType: 'aws_instance',
  stoppedFor: [
    'capacity_reservation_specification',
    'cpu_options',
    'instance_type',
    'user_data',
    'user_data_base64',
  ],
}

/** azurerm_linux_virtual_machine of provider 4: what its update shuts the machine down for, or restarts it. */
export const AZURE_MACHINES: MachineKind = {
  machineType: 'azurerm_linux_virtual_machine',
  stoppedFor: [
    'additional_capabilities',
    'capacity_reservation_group_id',
    'dedicated_host_group_id',
    'dedicated_host_id',
    'disk_controller_type',
    'encryption_at_host_enabled',
    'max_bid_price',
    'network_interface_ids',
    'os_disk',
    'proximity_placement_group_id',
    'size',
  ],
}

const priorSchema = z.looseObject({
  machines: z.array(z.looseObject({name: z.string(), role: machineSchema.shape.role})).default([]),
})

type Nodes = ReadonlyMap<string, Machine['role']>

/** Nodes that were there when the state was applied last, by name. A first apply that failed left none. */
function priorNodes({priorOutputs}: Pick<TerraformPlan, 'priorOutputs'>): Nodes {
  const {machines} = priorSchema.safeParse(priorOutputs).data ?? {machines: []}
  return new Map(machines.map(({name, role}) => [name, role]))
}

/** Tells which node a change is of, and whether that is down for it. */
export function nodeOfChange(
  plan: Pick<TerraformPlan, 'changes' | 'priorOutputs'>,
  kind: MachineKind,
): (change: ResourceChange) => Pick<MachineChange, 'machine' | 'interrupts'> {
  const nodes = priorNodes(plan)
  const nameOf = ({address}: ResourceChange) => address.slice(kind.machineType.length + 1)
  const removed = plan.changes.filter((each) => each.type === kind.machineType && isRemoved(each)).map(nameOf)
  const isWhole = [...nodes.keys()].every((name) => removed.includes(name))
  return (change) => {
    if (change.type !== kind.machineType) return {}
    const machine = nameOf(change)
    const role = nodes.get(machine)
    return role === undefined || isWhole || !isStopped(change, kind) ? {machine} : {machine, interrupts: role}
  }
}

const isRemoved = ({actions}: ResourceChange): boolean =>
  actions.includes('delete') && !actions.includes('create')

function isStopped({actions, attributes = []}: ResourceChange, {stoppedFor}: MachineKind): boolean {
  if (actions.includes('delete')) return true
  return actions.includes('update') && attributes.some((name) => stoppedFor.includes(name))
}

/** Tells before anybody is asked that control planes would stop. */
export function reportStops(
  plan: Pick<TerraformPlan, 'priorOutputs'>,
  changes: readonly MachineChange[],
  {report, readOnly}: Pick<ProviderContext, 'report' | 'readOnly'>,
): void {
  const stopped = changes.flatMap(({interrupts, machine}) =>
    interrupts === 'control-plane' && machine !== undefined ? [machine] : [],
  )
  const warn = (text: string) => report({type: 'note', level: 'warning', text})
  // Whoever applies at once is refused with the same words.
  if (stopped.length > 1 && readOnly === true)
    warn(
      `${stopped.join(', ')} would stop at the same time: clouder refuses to apply that to a running cluster`,
    )
  const controlPlanes = [...priorNodes(plan).values()].filter((role) => role === 'control-plane').length
  // Two agree on nothing when one is away.
  if (stopped.length === 1 && controlPlanes < 3)
    warn(
      `${stopped.join()} is stopped for this change; until it runs again, the API server of the cluster is unavailable`,
    )
}

/** Addresses of machines by their names. Throws ConfigError FLAG_INVALID for one that the state does not know. */
export async function targetsOf(
  names: readonly string[],
  terraform: Terraform,
  {machineType}: MachineKind,
  {signal}: Pick<ProviderContext, 'signal'>,
): Promise<readonly string[]> {
  if (names.length === 0) return []
  const prefix = `${machineType}.`
  const all = await terraform.stateList({signal})
  const known = all
    .filter((address) => address.startsWith(prefix))
    .map((address) => address.slice(prefix.length))
  const unknown = names.filter((name) => !known.includes(name))
  if (unknown.length === 0) return names.map((name) => `${prefix}${name}`)
  const there =
    known.length === 0 ? 'it contains no machines yet' : `it contains ${known.toSorted().join(', ')}`
  throw new ConfigError('FLAG_INVALID', `machine ${unknown.join(', ')} not found in the state: ${there}`, {
    suggestions: ['pass existing machines, or omit --only to plan everything'],
  })
}
