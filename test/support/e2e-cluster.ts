import {randomBytes} from 'node:crypto'
import type {ContainerEngine} from '../../src/infrastructure/containers/container-engine.ts'
import {CLUSTER_LABEL, containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {clusterPaths} from '../../src/store/disk.ts'
import type {ClusterPaths} from '../../src/store/types.ts'
import {clouder, type CliOptions, type CliResult} from './cli.ts'
import {resultOf, runSchema, type RunResult} from './e2e-results.ts'

const COMMAND_TIMEOUT_MS = 60_000

export interface E2eClusterOptions {
  /** Start of the cluster's name. */
  readonly prefix: string
  /** Of one that is there already; default: prefix and a random end. */
  readonly name?: string
  readonly workers: number
  /** CLOUDER_HOME. */
  readonly home: string
  readonly engine: ContainerEngine
}

type RunOptions = Omit<CliOptions, 'home'>

/** A cluster of the local provider as a user has it, and a way round the CLI to its machines. */
export interface E2eCluster {
  readonly name: string
  readonly home: string
  readonly paths: ClusterPaths
  readonly engine: ContainerEngine
  /** Names of its machines, the control plane first. */
  readonly machines: readonly string[]
  /** Everything the CLI wrote so far. */
  readonly said: readonly string[]
  clouder(args: readonly string[], options?: RunOptions): Promise<CliResult>
  /** `kubeadm init`, always with the same words. */
  init(options?: RunOptions): Promise<CliResult>
  /** `kubeadm plan` that must succeed. */
  plan(): Promise<RunResult>
  /** Standard output of a bash text that must succeed on a machine, as root and beside SSH. */
  read(machine: string, script: string): Promise<string>
}

export function e2eCluster({prefix, workers, home, engine, ...given}: E2eClusterOptions): E2eCluster {
  const name = given.name ?? `${prefix}-${randomBytes(2).toString('hex')}`
  const said: string[] = []
  const run = async (args: readonly string[], options: RunOptions = {}): Promise<CliResult> => {
    const result = await clouder(args, {...options, home})
    said.push(result.stdout, result.stderr)
    return result
  }
  const spec = [
    ...['--provider', 'local', '--workers', String(workers)],
    ...['--addons', 'minimal', '--json'],
  ]
  return {
    name,
    home,
    paths: clusterPaths(home, name),
    engine,
    machines: ['cp-1', ...Array.from({length: workers}, (_, index) => `worker-${index + 1}`)],
    said,
    clouder: run,
    init: (options) => run(['kubeadm', 'init', name, ...spec], options),
    plan: async () => resultOf(await run(['kubeadm', 'plan', name, ...spec]), runSchema),
    read: async (machine, script) => {
      const signal = AbortSignal.timeout(COMMAND_TIMEOUT_MS)
      const answer = await engine.exec(containerName(name, machine), ['bash', '-c', script], signal)
      if (answer.exitCode === 0) return answer.stdout
      throw new Error(`${machine}: ${script} exited with ${answer.exitCode}: ${answer.stderr}`)
    },
  }
}

/** What the engine has of a cluster: by its label, and by its name whatever the label says. */
export async function thingsOf(engine: ContainerEngine, name: string): Promise<readonly string[]> {
  const prefix = `clouder-${name}`
  const labels = {[CLUSTER_LABEL]: name}
  const found = await Promise.all(
    [{}, labels].map(async (wanted) => {
      const [containers, networks, volumes] = await Promise.all([
        engine.listContainers(wanted),
        engine.listNetworks(wanted),
        engine.listVolumes(wanted),
      ])
      return [
        ...containers.map((item) => ({...item, kind: 'container'})),
        ...networks.map((item) => ({...item, kind: 'network'})),
        ...volumes.map((item) => ({...item, kind: 'volume'})),
      ]
    }),
  )
  const ours = found
    .flat()
    .filter((item) => item.name.startsWith(prefix) || item.labels[CLUSTER_LABEL] === name)
  return [...new Set(ours.map((item) => `${item.kind} ${item.name}`))].sort()
}

/**
 * The processes that a machine lives by, one a line with pid and start time: equal text, nothing was restarted.
 * Start times are in clock ticks since boot: https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
 */
export async function processesOf(cluster: E2eCluster, machine: string): Promise<string> {
  const programs =
    'systemd|sshd|containerd|kubelet|etcd|kube-apiserver|kube-scheduler|kube-controller|kube-proxy|flanneld|coredns|pause'
  const script = `for pid in $(pgrep -x '${programs}'); do
    # An sshd of a session that has just ended may be gone by now.
    if read -r line < "/proc/$pid/stat"; then
      rest=\${line##*) }; set -- $rest; echo "$(cat /proc/$pid/comm) $pid \${20}"
    fi
  done 2>/dev/null | sort`
  const lines = (await cluster.read(machine, script)).split('\n')
  // Sessions come and go with their own sshd and systemd; those of the machine have the lowest pid.
  const pidOf = (line: string): number => Number(line.split(' ')[1])
  const isFirst = (line: string, name: string): boolean =>
    lines.filter((other) => other.startsWith(name)).every((other) => pidOf(line) <= pidOf(other))
  const sessions = ['sshd ', 'systemd ']
  return lines
    .filter((line) => sessions.every((name) => !line.startsWith(name) || isFirst(line, name)))
    .join('\n')
}
