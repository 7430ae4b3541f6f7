import {InfrastructureError} from '../../infrastructure/errors.ts'
import type {MachineChange} from '../../infrastructure/providers/provider.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {ClusterRecord} from '../../store/types.ts'

/**
 * Nodes of a running cluster go by a plan that was made for that, never beside what was asked for.
 * Throws InfrastructureError PLAN_REMOVES_MACHINES.
 */
export function refuseLosses(
  {name}: Pick<ClusterSpec, 'name'>,
  changes: readonly MachineChange[],
  record: ClusterRecord | undefined,
): void {
  if (!mayRun(record)) return
  const lost = changes.filter(
    ({action, interrupts}) => (action === 'remove' || action === 'replace') && interrupts !== undefined,
  )
  if (lost.length === 0) return
  const told = lost.map(({action, machine, reason}) => `${action} ${machine ?? ''} (${reason})`)
  throw new InfrastructureError(
    'PLAN_REMOVES_MACHINES',
    `machines of the running cluster ${name} would be lost: ${told.join(', ')}`,
    {
      suggestions: [
        'restore the values of the spec they were created with',
        `if that is intended: clouder infra plan ${name} --save plan.tfplan, then clouder infra apply ${name} --plan plan.tfplan`,
      ],
    },
  )
}

/**
 * Control planes that stop together leave etcd without a quorum, and no API that could tell. Saved plans are no
 * exception. Throws InfrastructureError PLAN_STOPS_CONTROL_PLANES.
 */
export function refuseStops(
  {name}: Pick<ClusterSpec, 'name'>,
  changes: readonly MachineChange[],
  record: ClusterRecord | undefined,
): void {
  if (!mayRun(record)) return
  const stopped = changes.filter(({interrupts}) => interrupts === 'control-plane')
  if (stopped.length < 2) return
  const told = stopped.map(({action, machine, reason}) => `${action} ${machine ?? ''} (${reason})`)
  const [first = ''] = stopped.flatMap(({machine}) => machine ?? [])
  const file = `${first}.tfplan`
  throw new InfrastructureError(
    'PLAN_STOPS_CONTROL_PLANES',
    `control planes of the running cluster ${name} would stop at once: ${told.join(', ')}`,
    {
      suggestions: [
        `one after the other: clouder infra plan ${name} --only ${first} --save ${file}, then clouder infra apply ${name} --plan ${file}`,
        `and before the next: clouder doctor --cluster ${name}`,
        'or restore the values of the spec they were created with',
      ],
    },
  )
}

/** A machine that remembers nothing knows of no cluster, and still may be about to stop one: in a pipeline. */
function mayRun(record: ClusterRecord | undefined): boolean {
  return record === undefined || record.initialisedAt !== undefined
}

/**
 * Nothing is removed of a cluster whose machines the cloud will not give up. Throws InfrastructureError
 * DELETION_PROTECTED.
 */
export function refuseProtected({name, provider}: ClusterSpec): void {
  if (provider.kind !== 'aws' || !provider.aws.deletionProtection) return
  throw new InfrastructureError(
    'DELETION_PROTECTED',
    `${name} is protected from deletion by spec.provider.aws.deletionProtection`,
    {suggestions: ['set deletionProtection to false in cluster.yaml', `clouder infra apply ${name}`]},
  )
}
