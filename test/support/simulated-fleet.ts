import {setTimeout as delay} from 'node:timers/promises'
import {z} from 'zod'
import {HostCommandError} from '../../src/bootstrap/errors.ts'
import {KubernetesError} from '../../src/kubernetes/errors.ts'
import type {HostConnector} from '../../src/bootstrap/hosts/host.ts'
import type {KubeOpener} from '../../src/kubernetes/types.ts'
import type {Machine} from '../../src/spec/machine.ts'
import {SimulatedCluster} from './simulated-cluster.ts'
import {SimulatedHost, unreachable, type SimulatedCall, type SimulatedWorld} from './simulated-host.ts'
import {SimulatedMachine} from './simulated-machine.ts'

export interface FleetOptions {
  readonly machines: readonly Machine[]
  /** How long each call takes, ms; connecting is the call `connect`. Default: nothing waits. */
  readonly latencyMs?: number | ((call: SimulatedCall) => number)
}

export interface SimulatedFleet {
  readonly connector: HostConnector
  readonly openKube: KubeOpener
  readonly cluster: SimulatedCluster
  /** By address. */
  readonly machines: ReadonlyMap<string, SimulatedMachine>
  /** What changed machines, in order. */
  readonly changes: readonly SimulatedCall[]
  /** Must stay empty: scripts and commands that the fleet does not know. */
  readonly unexpected: readonly string[]
  add(machine: Machine): void
  /** Takes every machine away, and the cluster with them; their names. */
  clear(): readonly string[]
  named(name: string): SimulatedMachine
  /** From now on the machine does not answer, or does again. */
  reach(name: string, reachable: boolean): void
  /** The next run of this script on this machine fails before it does anything. */
  failNext(host: string, what: string, message: string): void
  /** Everything after so many more changes fails, as when the process that makes them is killed; undefined: no more. */
  killAfter(changes: number | undefined): void
  /** The state of every machine and of the cluster, as plain data. */
  save(): unknown
  restore(saved: unknown): void
}

const savedSchema = z.object({machines: z.array(z.tuple([z.string(), z.unknown()])), cluster: z.unknown()})

/** Machines in memory behind the Host interface, and the cluster that they make; the ordinary workflows run on them. */
export function simulatedFleet(options: FleetOptions): SimulatedFleet {
  const machines = new Map<string, SimulatedMachine>()
  const changes: SimulatedCall[] = []
  const unexpected: string[] = []
  const silent = new Set<string>()
  const failures = new Map<string, string>()
  let changesLeft: number | undefined
  const latency = options.latencyMs ?? 0
  const latencyMs = typeof latency === 'number' ? () => latency : latency
  const dieWhenKilled = (): void => {
    if (changesLeft !== undefined && changesLeft <= 0) throw new Error('killed')
  }
  const countChange = (): void => {
    if (changesLeft !== undefined) changesLeft -= 1
    dieWhenKilled()
  }
  const cluster = new SimulatedCluster({
    before: async () => {
      const waitMs = latencyMs({host: 'the API server', kind: 'look', what: 'request'})
      if (waitMs > 0) await delay(waitMs)
      dieWhenKilled()
    },
    onChange: countChange,
  })
  const world: SimulatedWorld = {
    cluster,
    latencyMs,
    changes,
    unexpected,
    before: (call) => {
      dieWhenKilled()
      const message = failures.get(`${call.host} ${call.what}`)
      if (message === undefined) return
      failures.delete(`${call.host} ${call.what}`)
      throw commandError(call, message)
    },
    after: countChange,
    isReachable: (address) => {
      const machine = machines.get(address)
      return machine !== undefined && !silent.has(machine.name)
    },
  }
  const add = (machine: Machine): void => {
    if (!machines.has(machine.address)) machines.set(machine.address, new SimulatedMachine(machine))
  }
  for (const machine of options.machines) add(machine)
  return {
    connector: {
      connect: async (machine, {signal}) => {
        signal.throwIfAborted()
        const waitMs = latencyMs({host: machine.name, kind: 'look', what: 'connect'})
        if (waitMs > 0) await delay(waitMs, undefined, {signal})
        dieWhenKilled()
        const simulated = machines.get(machine.address)
        if (simulated === undefined || silent.has(machine.name)) throw unreachable(machine)
        return new SimulatedHost(simulated, machine, world)
      },
    },
    openKube: ({kubeconfig}) => Promise.resolve(openedKube(cluster, kubeconfig)),
    cluster,
    machines,
    changes,
    unexpected,
    add,
    clear: () => {
      const names = [...machines.values()].map(({name}) => name)
      for (const name of names) cluster.leave(name)
      machines.clear()
      return names
    },
    named: (name) => {
      const found = [...machines.values()].find((machine) => machine.name === name)
      if (found === undefined) throw new TypeError(`the fleet has no machine ${name}`)
      return found
    },
    reach: (name, reachable) => {
      if (reachable) silent.delete(name)
      else silent.add(name)
    },
    failNext: (host, what, message) => void failures.set(`${host} ${what}`, message),
    killAfter: (count) => void (changesLeft = count),
    save: () => ({
      machines: [...machines].map(([address, machine]) => [address, machine.save()]),
      cluster: cluster.save(),
    }),
    restore: (saved) => {
      const state = savedSchema.parse(saved)
      for (const [address, machine] of state.machines) machines.get(address)?.restore(machine)
      cluster.restore(state.cluster)
    },
  }
}

function commandError({host, what}: SimulatedCall, stderr: string): HostCommandError {
  const failed = {host, command: what, exitCode: 1, signal: undefined, stdout: '', stderr}
  return new HostCommandError(
    'HOST_COMMAND_FAILED',
    `\`${what}\` on ${host} exited with code 1: ${stderr}`,
    failed,
  )
}

function openedKube(cluster: SimulatedCluster, kubeconfig: string) {
  if (kubeconfig.includes('client-certificate: inline')) return cluster.kube
  throw new KubernetesError('API_UNREACHABLE', 'the kubeconfig holds no client certificate')
}
