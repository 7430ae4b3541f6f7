import {ConfigError, StateError} from '../../base/errors.ts'
import {resetPhase} from '../../bootstrap/phases/reset.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {Machine} from '../../spec/machine.ts'
import {allMachines, recordOf} from '../session/clusters.ts'
import {openSession, type Unreached} from '../session/session.ts'
import type {ResetResult, RunFlags, SessionTools, SkippedMachine} from '../session/types.ts'

/**
 * Takes nodes out of the cluster, all of them when none is named. A control plane leaves only together with the whole
 * cluster. Throws ConfigError FLAG_INVALID for a node that is not the cluster's.
 */
export async function resetCluster(
  name: string,
  options: {
    readonly nodes: readonly string[]
    readonly keepsCheckpoints: boolean
    readonly skipUnreachable?: boolean
    readonly flags: RunFlags
  },
  tools: SessionTools,
): Promise<ResetResult> {
  const {flags, skipUnreachable = false} = options
  await using _lock = flags.dryRun ? undefined : await tools.store.lock(name, tools.run)
  const record = await recordOf(name, tools)
  const {endpoint} = record
  if (endpoint === undefined) throw new StateError('CLUSTER_UNKNOWN', `cluster ${name} has no machines`)
  const machines = allMachines(record)
  const whole = options.nodes.length === 0
  const nodes = whole ? machines.map((machine) => machine.name) : options.nodes
  if (!whole) checkNodes(machines, nodes)
  const connected = whole
    ? machines
    : machines.filter(({role, name: node}) => role === 'control-plane' || nodes.includes(node))
  await using session = await openSession(
    {
      spec: specFromDocument(record.document),
      machines: connected,
      endpoint,
      withBundle: false,
      skipUnreachable,
      exclusive: !flags.dryRun,
      journalOnNodes: false,
      ...flags,
    },
    tools,
  )
  const summary = await session.run(
    [resetPhase({nodes, keepsCluster: !whole, keepsCheckpoints: options.keepsCheckpoints})],
    flags,
  )
  if (!flags.dryRun) {
    await tools.store.update(name, (old) => {
      const {initialisedAt, kubernetesVersion, ...kept} = {...record, ...old}
      const joined = kept.joined.filter((machine) => !nodes.includes(machine.name))
      return whole ? {...kept, joined} : {...record, ...old, joined}
    })
  }
  const left = session.unreached.filter(({machine}) => nodes.includes(machine.name))
  const skipped = skippedOf(left, 'Kubernetes, its data and its credentials')
  const reached = nodes.filter((node) => !skipped.some(({host}) => host === node))
  return {cluster: name, nodes: reached, steps: summary.steps, skipped}
}

/** `holds`: what a machine has that was not cleaned. */
export const skippedOf = (unreached: readonly Unreached[], holds: string): readonly SkippedMachine[] =>
  unreached.map(({machine: {name, address}, error}) => ({
    host: name,
    address,
    reason: error.message,
    remains: `${holds}; when it is reachable again, stop its kubelet and run kubeadm reset there before using it`,
  }))

function checkNodes(machines: readonly Machine[], nodes: readonly string[]): void {
  for (const node of nodes) {
    const machine = machines.find((candidate) => candidate.name === node)
    if (machine === undefined) {
      const names = machines.map((candidate) => candidate.name).join(', ')
      throw new ConfigError(
        'FLAG_INVALID',
        `no machine ${JSON.stringify(node)} in this cluster, expected any of ${names}`,
      )
    }
    if (machine.role === 'control-plane') {
      throw new ConfigError(
        'FLAG_INVALID',
        `${node} is a control plane: resetting only this node would cost etcd its quorum`,
        {
          suggestions: ['reset the whole cluster: omit --node'],
        },
      )
    }
  }
}
