import type {HostReader} from '../../hosts/host.ts'
import type {ClusterSpec} from '../../../spec/cluster-spec.ts'
import type {PreflightObserved} from './observe.ts'

export interface CheckedHost {
  readonly reader: HostReader
  readonly observed: PreflightObserved
  /** Whether it is part of this very cluster already. */
  readonly joined: boolean
}

export interface CheckInput {
  readonly spec: ClusterSpec
  readonly hosts: readonly CheckedHost[]
  /** The API server as nodes reach it, `host:port`. */
  readonly apiEndpoint: string
  /** sha256 of the cluster's CA certificate; undefined: there is no cluster yet. */
  readonly clusterCa: string | undefined
}

/** Something about one machine that will not do, and a command or an edit that mends it. */
export interface Problem {
  readonly problem: string
  readonly fix: string
  /** Default: error. */
  readonly severity?: 'error' | 'warning'
}

export type HostProblem = Problem & {readonly host: string}

/** One named condition of the machines; the list of them is what the user can ignore by name. */
export interface Check {
  /** PascalCase, stable: `--ignore-preflight` takes it. */
  readonly name: string
  /** What is true when it passes. */
  readonly title: string
  run(input: CheckInput): readonly HostProblem[]
}

export const isControlPlane = (host: CheckedHost): boolean => host.reader.machine.role === 'control-plane'

/** A check that looks at each host alone. */
export const eachHost =
  (look: (host: CheckedHost, spec: ClusterSpec) => readonly Problem[]) =>
  ({hosts, spec}: CheckInput): readonly HostProblem[] =>
    hosts.flatMap((host) => look(host, spec).map((problem) => ({...problem, host: host.reader.name})))

/** A check of what matters before a host is part of the cluster, and no more afterwards. */
export const eachNewHost =
  (look: (host: CheckedHost, spec: ClusterSpec) => readonly Problem[]) =>
  (input: CheckInput): readonly HostProblem[] =>
    eachHost(look)({...input, hosts: input.hosts.filter(({joined}) => !joined)})
