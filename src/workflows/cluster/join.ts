import {lookup} from 'node:dns/promises'
import {isIP} from 'node:net'
import {ConfigError, StateError} from '../../base/errors.ts'
import {checkIgnored} from '../../bootstrap/phases/preflight.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {Machine} from '../../spec/machine.ts'
import type {ClusterRecord} from '../../store/types.ts'
import {allMachines, nodeRows, recordOf} from '../session/clusters.ts'
import {clusterPhases} from './init.ts'
import {openSession} from '../session/session.ts'
import type {InitResult, JoinHost, RunFlags, SessionTools} from '../session/types.ts'

/**
 * Adds machines to a running cluster as workers: the phases of `init`, over the control planes and the new machines.
 * A machine that already is one of the cluster's is brought up to date under the name it has.
 */
export async function joinCluster(
  name: string,
  hosts: readonly JoinHost[],
  flags: RunFlags,
  tools: SessionTools,
): Promise<InitResult> {
  const startedMs = tools.now()
  checkIgnored(flags.ignorePreflight)
  await using _lock = flags.dryRun ? undefined : await tools.store.lock(name, tools.run)
  const record = await recordOf(name, tools)
  const {endpoint} = record
  if (endpoint === undefined || record.initialisedAt === undefined) throw notInitialised(name)
  const spec = specFromDocument(record.document)
  const known = allMachines(record)
  const machines = await newMachines(spec, record, hosts)
  const planes = known.filter(({role}) => role === 'control-plane')
  await using session = await openSession(
    {
      spec,
      machines: [...planes, ...machines],
      endpoint,
      cloud: record.cloud ?? {},
      withBundle: true,
      exclusive: !flags.dryRun,
      ...flags,
    },
    tools,
  )
  const added = machines.filter((machine) => !known.some((old) => old.name === machine.name))
  if (!flags.dryRun && added.length > 0) {
    await tools.store.update(name, (old) => ({...record, ...old, joined: [...(old?.joined ?? []), ...added]}))
  }
  const paths = tools.store.paths(name)
  const summary = await session.run(clusterPhases(paths), flags)
  const kube = await session.context.kube()
  return {
    cluster: name,
    steps: summary.steps,
    machineChanges: [],
    dryRun: flags.dryRun,
    endpoint: endpoint.external,
    kubeconfig: paths.kubeconfig,
    kubernetesVersion: spec.kubernetes.version,
    nodes: kube === undefined ? [] : await nodeRows([...known, ...added], kube),
    durationMs: tools.now() - startedMs,
    log: `${paths.logs}/${tools.run}.log`,
  }
}

function notInitialised(name: string): StateError {
  return new StateError('CLUSTER_UNKNOWN', `cluster ${name} has no running control plane to join`, {
    suggestions: [`clouder kubeadm init ${name}`],
  })
}

async function newMachines(
  spec: ClusterSpec,
  record: ClusterRecord,
  hosts: readonly JoinHost[],
): Promise<readonly Machine[]> {
  const known = [...allMachines(record)]
  const machines: Machine[] = []
  for (const host of hosts) {
    const port = host.port ?? spec.ssh.port
    const same = known.find(({address, ssh}) => address === host.address && ssh.port === port)
    const machine = same ?? (await machineOf(spec, host, known))
    const clash = known.find((other) => other.name === machine.name && other !== same)
    if (clash !== undefined) {
      throw new ConfigError(
        'FLAG_INVALID',
        `--name ${machine.name} is already used by the machine at ${clash.address}`,
      )
    }
    if (same === undefined) known.push(machine)
    machines.push(machine)
  }
  return machines
}

async function machineOf(spec: ClusterSpec, host: JoinHost, known: readonly Machine[]): Promise<Machine> {
  const {ssh} = spec
  const keyPath = host.keyPath ?? ssh.keyPath
  const pool = spec.workers.find((candidate) => candidate.name === host.pool)
  return {
    name: host.name ?? freeName(host.pool, known),
    role: 'worker',
    pool: host.pool,
    address: host.address,
    privateAddress: isIP(host.address) === 0 ? (await lookup(host.address)).address : host.address,
    ssh: {
      user: host.user ?? ssh.user,
      port: host.port ?? ssh.port,
      hostKeys: [],
      ...(keyPath === undefined ? {} : {keyPath}),
      ...(ssh.sudoPassword === undefined ? {} : {sudoPassword: ssh.sudoPassword}),
      ...(ssh.bastion === undefined ? {} : {bastion: {...ssh.bastion, hostKeys: [...ssh.bastion.hostKeys]}}),
    },
    labels: {...pool?.labels},
    taints: pool?.taints.map((taint) => ({...taint})) ?? [],
  }
}

function freeName(pool: string, known: readonly Machine[]): string {
  const taken = new Set(known.map(({name}) => name))
  let number = 1
  while (taken.has(`${pool}-${number}`)) number += 1
  return `${pool}-${number}`
}
