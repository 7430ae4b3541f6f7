import {ConfigError, type PreflightFinding} from '../../base/errors.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {fanOut} from '../../bootstrap/engine/fan-out.ts'
import type {Host} from '../../bootstrap/hosts/host.ts'
import {describeRef} from '../../kubernetes/refs.ts'
import {runChecks} from '../../bootstrap/phases/preflight.ts'
import {installedAddons} from '../../bootstrap/phases/addon-releases.ts'
import {readiness} from '../../bootstrap/phases/ready.ts'
import {lastLogLines, podsOutsideNetwork} from '../../bootstrap/phases/ready/system-pods.ts'
import {specFromDocument} from '../../spec/load.ts'
import type {Machine} from '../../spec/machine.ts'
import {allMachines, recordOf} from '../session/clusters.ts'
import {openSession, type Session} from '../session/session.ts'
import type {DoctorResult, SessionTools} from '../session/types.ts'

const UNITS = ['containerd', 'kubelet'] as const

/**
 * Examines a live cluster: the preflight checks on every machine that answers, the units on each, and the health of
 * the cluster. Changes nothing. Machines that do not answer are findings.
 */
export async function diagnoseCluster(
  name: string,
  options: {readonly node: string | undefined; readonly ignorePreflight: readonly string[]},
  tools: SessionTools,
): Promise<DoctorResult> {
  const record = await recordOf(name, tools)
  const {endpoint} = record
  if (endpoint === undefined)
    throw new KubernetesError('API_UNREACHABLE', `cluster ${name} has no machines yet`)
  const machines = chosen(allMachines(record), options.node)
  await using session = await openSession(
    {
      spec: specFromDocument(record.document),
      machines,
      endpoint,
      ignorePreflight: options.ignorePreflight,
      concurrency: 20,
      tolerateUnreachable: true,
      withBundle: false,
      exclusive: false,
    },
    tools,
  )
  const answering = new Set(session.hosts.map((host) => host.name))
  const silent = machines
    .filter((machine) => !answering.has(machine.name))
    .map((machine) => unreachable(name, machine))
  const [preflight, units, health] = await Promise.all([
    runChecks(session.context, tools.signal),
    unitFindings(name, session.hosts, tools.signal),
    clusterFindings(name, session, options.node !== undefined),
  ])
  const findings = [...silent, ...preflight.findings, ...units, ...health]
  const healthChecks = [
    ...session.hosts.flatMap((host) => UNITS.map((unit) => ({host: host.name, check: unit}))),
  ]
  const failed = new Set(findings.map((finding) => `${finding.host}/${finding.check}`))
  return {
    cluster: name,
    healthy: findings.length === 0,
    findings,
    checks: [
      ...preflight.checks,
      ...healthChecks.map((check) => ({...check, ok: !failed.has(`${check.host}/${check.check}`)})),
      ...['ClusterReady', 'PodAddresses'].map((check) => ({
        host: 'cluster',
        check,
        ok: !failed.has(`cluster/${check}`),
      })),
    ],
    facts: session.hosts.map((host) => ({host: host.name, facts: host.facts})),
  }
}

function chosen(machines: readonly Machine[], node: string | undefined): readonly Machine[] {
  if (node === undefined) return machines
  const found = machines.filter((machine) => machine.name === node)
  if (found.length > 0) return found
  throw new ConfigError(
    'FLAG_INVALID',
    `no machine ${JSON.stringify(node)}, expected one of ${machines.map(({name}) => name).join(', ')}`,
  )
}

const unreachable = (cluster: string, machine: Machine): PreflightFinding => ({
  host: machine.name,
  check: 'Reachable',
  problem: `${machine.address} does not answer on port ${machine.ssh.port}`,
  fix: `start the machine, or try: clouder ssh ${machine.name} --cluster ${cluster} -- true`,
})

async function unitFindings(
  cluster: string,
  hosts: readonly Host[],
  signal: AbortSignal,
): Promise<readonly PreflightFinding[]> {
  const outcomes = await fanOut(
    hosts,
    64,
    (host) => host.query(['systemctl', 'is-active', ...UNITS], {signal}),
    signal,
  )
  return outcomes.flatMap((outcome) => {
    if ('error' in outcome) {
      return [
        {
          host: outcome.item.name,
          check: 'Reachable',
          problem: outcome.error.message,
          fix: `see its state: clouder ssh ${outcome.item.name} --cluster ${cluster} -- systemctl status ${UNITS.join(' ')}`,
        },
      ]
    }
    const states = outcome.value.stdout.split('\n')
    return UNITS.flatMap((unit, index) =>
      states[index] === 'active'
        ? []
        : [
            {
              host: outcome.item.name,
              check: unit,
              problem: `${unit} is ${states[index] ?? 'unknown'}`,
              fix: `clouder kubeadm init ${cluster} starts it; to read its log: clouder ssh ${outcome.item.name} --cluster ${cluster} -- journalctl -u ${unit} -n 50`,
            },
          ],
    )
  })
}

async function clusterFindings(
  name: string,
  session: Session,
  oneNode: boolean,
): Promise<readonly PreflightFinding[]> {
  const kube = await session.context.kube()
  if (kube === undefined) {
    if (oneNode) return []
    const {problem, fix} = session.apiProblem()
    return [{host: 'cluster', check: 'ClusterReady', problem: `no API server responds: ${problem}`, fix}]
  }
  const {spec} = session.context
  const {problems, failing, outside} = await readiness(
    session.context,
    kube,
    await installedAddons(session.context, kube),
  )
  const logs = await Promise.all(failing.map((problem) => lastLogLines(kube, problem)))
  const logOf = new Map(failing.map(({problem}, index) => [problem, logs[index]?.split('\n').at(-1)]))
  const ready = problems.map((problem) => ({
    host: 'cluster',
    check: 'ClusterReady',
    problem: [problem, logOf.get(problem) ?? ''].filter((text) => text !== '').join('; its last line: '),
    fix: `clouder kubeadm plan ${name}`,
  }))
  // Which addresses pods get is the business of whoever brings the network.
  if (spec.network.cni === 'none') return ready
  const [pods, nodes] = await Promise.all([
    kube.list({apiVersion: 'v1', kind: 'Pod'}),
    kube.list({apiVersion: 'v1', kind: 'Node'}),
  ])
  const known = new Set(outside.map(({pod}) => describeRef(pod)))
  const others = podsOutsideNetwork(pods, nodes, spec.network.podCidr).filter(
    ({pod}) => !known.has(describeRef(pod)),
  )
  return [
    ...ready,
    ...others.map(({pod, problem}) => ({
      host: 'cluster',
      check: 'PodAddresses',
      problem,
      fix: `clouder kubectl --cluster ${name} -- delete pod -n ${pod.namespace ?? ''} ${pod.name}, its controller creates it again`,
    })),
  ]
}
