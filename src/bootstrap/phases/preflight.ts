import {ConfigError, type PreflightFinding} from '../../base/errors.ts'
import {PreflightError} from '../errors.ts'
import type {HostReader} from '../hosts/host.ts'
import {isControlPlane, type ClouderPhase, type PhaseContext} from './context.ts'
import type {Check, CheckedHost, CheckInput} from './preflight/check.ts'
import {clusterChecks} from './preflight/checks-cluster.ts'
import {machineChecks} from './preflight/checks-machine.ts'
import {softwareChecks} from './preflight/checks-software.ts'
import {networkChecks} from './preflight/checks-network.ts'
import {proxyChecks} from './preflight/checks-proxy.ts'
import {readPreflight, readReach, type PreflightObserved, type Unreached} from './preflight/observe.ts'
import {observeHosts, probeHost} from './probe.ts'

/** Every check, in the order they are reported; their names are what `--ignore-preflight` takes. */
export const preflightChecks: readonly Check[] = [
  ...machineChecks,
  ...softwareChecks,
  ...networkChecks,
  ...proxyChecks,
  ...clusterChecks,
]

export interface CheckReport {
  /** Errors that were not ignored. */
  readonly findings: readonly PreflightFinding[]
  /** Warnings, and errors that were ignored. */
  readonly warnings: readonly PreflightFinding[]
  readonly checks: readonly {readonly host: string; readonly check: string; readonly ok: boolean}[]
}

/**
 * Runs every check on every host and throws for none of their findings.
 * Throws ConfigError FLAG_INVALID for an unknown name to ignore, HostsFailedError for hosts that cannot be read.
 */
export async function runChecks(context: PhaseContext, signal: AbortSignal): Promise<CheckReport> {
  checkIgnored(context.ignorePreflight)
  return judge(preflightChecks, await observe(context, signal), context.ignorePreflight)
}

/** Throws ConfigError FLAG_INVALID for a name to ignore that no check has: before anything is made or changed. */
export function checkIgnored(ignored: readonly string[]): void {
  const names = preflightChecks.map(({name}) => name)
  const unknown = ignored.filter((name) => !names.includes(name))
  if (unknown.length === 0) return
  throw new ConfigError(
    'FLAG_INVALID',
    `--ignore-preflight has unknown checks: ${unknown.join(', ')}; the checks are ${names.join(', ')}`,
    {suggestions: ['use the names of the list, as written there']},
  )
}

/** Sorts what the checks say into errors and warnings; pure. */
export function judge(checks: readonly Check[], input: CheckInput, ignored: readonly string[]): CheckReport {
  const told = checks.flatMap((check) => {
    const softened = ignored.includes(check.name)
    return check.run(input).map(({host, problem, fix, severity}) => ({
      finding: {host, check: check.name, problem, fix},
      error: severity !== 'warning' && !softened,
    }))
  })
  const findings = told.filter(({error}) => error).map(({finding}) => finding)
  return {
    findings,
    warnings: told.filter(({error}) => !error).map(({finding}) => finding),
    checks: input.hosts.flatMap(({reader: {name: host}}) =>
      checks.map(({name: check}) => ({
        host,
        check,
        ok: !findings.some((finding) => finding.host === host && finding.check === check),
      })),
    ),
  }
}

async function observe(context: PhaseContext, signal: AbortSignal): Promise<CheckInput> {
  const {hosts, spec, renderer} = context
  const apiEndpoint = context.endpoint.internal
  const found = await observeHosts(
    'preflight',
    hosts,
    async (host) => {
      const text = renderer.render('preflight/probe.sh', {
        criu: spec.checkpoint.enabled,
        fsync: isControlPlane(host),
      })
      return readPreflight(await probeHost(host, {name: 'preflight/probe.sh', text}, signal))
    },
    signal,
  )
  const clusterCa = found.find(({host}) => isControlPlane(host))?.observed.caSha256
  const checked = found.map(({host, observed}): CheckedHost => ({
    reader: host,
    observed,
    joined: clusterCa !== undefined && observed.kubelet?.ca === clusterCa,
  }))
  // Nodes that work together have shown that they reach each other.
  if (checked.length < 2 || checked.every(({joined}) => joined))
    return {spec, apiEndpoint, clusterCa, hosts: checked}
  return {spec, apiEndpoint, clusterCa, hosts: await withReachability(context, checked, signal)}
}

async function withReachability(
  {hosts, renderer}: PhaseContext,
  checked: readonly CheckedHost[],
  signal: AbortSignal,
): Promise<readonly CheckedHost[]> {
  const reached = await observeHosts(
    'preflight',
    hosts,
    async (host): Promise<readonly Unreached[]> => {
      const text = renderer.render('preflight/reach.sh', {targets: targetsOf(host, hosts)})
      return readReach(await probeHost(host, {name: 'preflight/reach.sh', text}, signal))
    },
    signal,
  )
  const byHost = new Map(reached.map(({host, observed}) => [host, observed]))
  return checked.map((host) => {
    const observed: PreflightObserved = {...host.observed, unreached: byHost.get(host.reader) ?? []}
    return {...host, observed}
  })
}

/** Beyond this the matrix would grow with the square of the nodes; each then asks its next neighbours. */
const NEIGHBOURS = 10

/** Addresses and ports a host must reach: every control plane, and its neighbours in a ring; pure. */
export function targetsOf(
  host: HostReader,
  hosts: readonly HostReader[],
): readonly {address: string; port: number}[] {
  const at = hosts.indexOf(host)
  const neighbours = Array.from(
    {length: Math.min(NEIGHBOURS, hosts.length - 1)},
    (_, step) => hosts[(at + step + 1) % hosts.length],
  )
  const peers = new Set([...hosts.filter(isControlPlane), ...neighbours.filter((peer) => peer !== undefined)])
  peers.delete(host)
  return [...peers].flatMap((peer) => {
    const address = peer.machine.privateAddress
    const etcd = isControlPlane(host) && isControlPlane(peer) ? [2379, 2380] : []
    return [10250, ...(isControlPlane(peer) ? [6443] : []), ...etcd].map((port) => ({address, port}))
  })
}

const describe = ({check, problem, fix}: PreflightFinding): string => `${check}: ${problem} (${fix})`

/** The machines are fit: every check runs on every host, then all that is wrong is told at once. Changes nothing. */
export const preflightPhase: ClouderPhase = {
  id: 'preflight',
  title: 'Checking the machines',
  async plan(context, signal) {
    const {findings, warnings} = await runChecks(context, signal)
    for (const warning of warnings) context.note(describe(warning), warning.host)
    if (findings.length > 0) throw new PreflightError(findings)
    return []
  },
}
