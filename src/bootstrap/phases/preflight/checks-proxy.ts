import {directTargets, networkOf, proxiedTargets, proxyAssignments} from '../../../spec/proxy.ts'
import {isControlPlane, type Check, type CheckedHost, type CheckInput, type HostProblem} from './check.ts'
import type {ProxyVariable} from './observe.ts'

const UNITS = ['containerd', 'kubelet'] as const
const PROXY_NAMES = ['HTTP_PROXY', 'HTTPS_PROXY', 'ALL_PROXY']

/** What a program is started with, and where its proxies come from. */
interface ProxyEnvironment {
  readonly noProxy: string
  /** Names of the files, or of what else sets a proxy; empty: none does. */
  readonly sources: readonly string[]
  readonly names: readonly string[]
}

/** Later variables win, as they do in a shell and in drop-ins. */
function environmentOf(variables: readonly ProxyVariable[]): ProxyEnvironment {
  const last = new Map(variables.map((variable) => [variable.name, variable]))
  const proxies = PROXY_NAMES.flatMap((name) => last.get(name) ?? []).filter(({value}) => value !== '')
  return {
    noProxy: last.get('NO_PROXY')?.value ?? '',
    sources: [...new Set(proxies.map(({source}) => source))],
    names: proxies.map(({name}) => name),
  }
}

const proxy: Check = {
  name: 'Proxy',
  title: 'the API server, nodes, pods and services are reached without a proxy',
  run: (input) => {
    const nodes = input.hosts.map(({reader}) => reader.machine.privateAddress)
    const targets = [...new Set([...directTargets(input.spec, input.apiEndpoint), ...nodes])]
    const written = proxyAssignments(input.spec, input.apiEndpoint, controlPlaneNetworks(input))
    return [
      // A doctor of one worker sees no control plane, and so not what is written.
      ...(input.hosts.some(isControlPlane) ? input.hosts.flatMap((host) => uncovered(host, written)) : []),
      ...input.hosts.flatMap((host) =>
        UNITS.flatMap((unit) => unitProblems(host, unit, written, targets, input)),
      ),
      ...input.hosts.flatMap((host) => loginProblems(host, targets)),
    ]
  },
}

const controlPlaneNetworks = ({hosts}: CheckInput): readonly string[] => [
  ...new Set(
    hosts
      .filter(isControlPlane)
      .map(({reader: {machine, facts}}) => networkOf(machine.privateAddress, facts.addresses)),
  ),
]

/** A node of a network that no control plane is in: `spec.proxy` cannot know it, and API servers ask its kubelet. */
function uncovered({reader}: CheckedHost, written: readonly string[]): readonly HostProblem[] {
  const {noProxy, names} = environmentOf(variablesOf(written))
  const {privateAddress} = reader.machine
  if (names.length === 0 || proxiedTargets(noProxy, [privateAddress]).length === 0) return []
  const network = networkOf(privateAddress, reader.facts.addresses)
  return [
    {
      host: reader.name,
      problem: `the API server would reach this node through the proxy of spec.proxy: ${privateAddress} is in the network of no control plane`,
      fix: `add ${network} to spec.proxy.noProxy`,
    },
  ]
}

function unitProblems(
  host: CheckedHost,
  unit: (typeof UNITS)[number],
  written: readonly string[],
  targets: readonly string[],
  {spec, apiEndpoint}: CheckInput,
): readonly HostProblem[] {
  const {proxies} = host.observed
  const found = environmentOf([
    ...proxies.filter(({scope}) => scope === 'systemd'),
    ...variablesOf(written),
    ...proxies.filter(({scope}) => scope === unit),
  ])
  const missing = found.sources.length === 0 ? [] : proxiedTargets(found.noProxy, targets)
  // What spec.proxy lacks is told once, with the edit that mends it.
  if (missing.length === 0 || found.sources.every((source) => source === SPEC)) return []
  const [api] = directTargets(spec, apiEndpoint)
  const isFatal = unit === 'kubelet' && api !== undefined && missing.includes(api)
  return [
    {
      host: host.reader.name,
      severity: isFatal ? 'error' : 'warning',
      problem: `${unit} would send requests for ${missing.join(', ')} through a proxy: ${told(found)}`,
      fix: `on ${host.reader.name}: add them to NO_PROXY there, or remove the variables there and set spec.proxy`,
    },
  ]
}

/** Programs that clouder starts are given none of these variables; those that people start are. */
function loginProblems(host: CheckedHost, targets: readonly string[]): readonly HostProblem[] {
  const found = environmentOf(host.observed.proxies.filter(({scope}) => scope === 'login'))
  if (found.sources.length === 0) return []
  const missing = proxiedTargets(found.noProxy, [...targets, 'localhost', '127.0.0.1'])
  if (missing.length === 0) return []
  return [
    {
      host: host.reader.name,
      severity: 'warning',
      problem: `kubectl and kubeadm in a login shell send requests for ${missing.join(', ')} through a proxy: ${told(found)}; containerd and the kubelet do not get these variables`,
      fix: `on ${host.reader.name}: add them to NO_PROXY there; set spec.proxy if images are to be pulled through the proxy`,
    },
  ]
}

const SPEC = 'spec.proxy'

const told = ({names, sources}: ProxyEnvironment): string => `${names.join(', ')} in ${sources.join(', ')}`

const variablesOf = (assignments: readonly string[]): readonly ProxyVariable[] =>
  assignments.map((assignment) => {
    const at = assignment.indexOf('=')
    return {scope: 'spec', name: assignment.slice(0, at), source: SPEC, value: assignment.slice(at + 1)}
  })

export const proxyChecks: readonly Check[] = [proxy]
