import {ConfigError, StateError} from '../errors.ts'
import {resetPhase} from '../phases/reset.ts'
import {specFromDocument} from '../spec/load.ts'
import type {Machine} from '../spec/machine.ts'
import {allMachines, recordOf} from './clusters.ts'
import {openSession} from './session.ts'
import type {ResetResult, RunFlags, Tools} from './types.ts'

/**
 * Takes nodes out of the cluster, all of them when none is named. A control plane leaves only together with the whole
 * cluster. Throws ConfigError FLAG_INVALID for a node that is not the cluster's.
 */
export async function resetCluster(
  name: string,
  options: {readonly nodes: readonly string[]; readonly flags: RunFlags},
  tools: Tools,
): Promise<ResetResult> {
  const {flags} = options
  await using _lock = flags.dryRun ? undefined : await tools.store.lock(name, tools.run)
  const record = await recordOf(name, tools)
  const {endpoint} = record
  if (endpoint === undefined) throw new StateError('CLUSTER_UNKNOWN', `cluster ${name} has no machines`)
  const machines = allMachines(record)
  const whole = options.nodes.length === 0
  const nodes = whole ? machines.map((machine) => machine.name) : options.nodes
  if (!whole) checkNodes(machines, nodes)
  const reached = whole
    ? machines
    : machines.filter(({role, name: node}) => role === 'control-plane' || nodes.includes(node))
  await using session = await openSession(
    {
      spec: specFromDocument(record.document),
      machines: reached,
      endpoint,
      withBundle: false,
      exclusive: !flags.dryRun,
      journalOnNodes: false,
      ...flags,
    },
    tools,
  )
  const summary = await session.run([resetPhase(nodes, !whole)], flags)
  if (!flags.dryRun) {
    await tools.store.update(name, (old) => {
      const {initialisedAt, kubernetesVersion, ...kept} = {...record, ...old}
      const joined = kept.joined.filter((machine) => !nodes.includes(machine.name))
      return whole ? {...kept, joined} : {...record, ...old, joined}
    })
  }
  return {cluster: name, nodes, steps: summary.steps}
}

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
        `${node} is a control plane: resetting it alone would cost etcd its quorum`,
        {
          suggestions: ['reset the whole cluster: leave --node out'],
        },
      )
    }
  }
}
