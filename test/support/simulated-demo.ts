import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {expect} from 'vitest'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {byonMachines} from '../../src/spec/machines.ts'
import type {ClusterStore} from '../../src/store/types.ts'
import {initCluster, type InitFlags} from '../../src/workflows/cluster/init.ts'
import type {InitResult, InitScope, RunFlags} from '../../src/workflows/session/types.ts'
import {memoryStore} from './memory-store.ts'
import {simulatedFleet, type FleetOptions, type SimulatedFleet} from './simulated-fleet.ts'
import {byonSpec, localSpec, simulatedRun, type SimulatedRun} from './simulated-run.ts'
import {sharedTinyBundle} from './tiny-bundle.ts'

export interface DemoOptions {
  /** Default: byon. */
  readonly provider?: 'local' | 'byon'
  readonly workers: number
  readonly controlPlanes?: number
  /** YAML flow text of more keys below `spec:`. */
  readonly more?: string
  /** As of a fleet. */
  readonly latencyMs?: FleetOptions['latencyMs']
}

/** The cluster demo on simulated machines, driven as the command line drives it. */
export interface Demo {
  readonly spec: ClusterSpec
  readonly fleet: SimulatedFleet
  readonly store: ClusterStore
  /** CLOUDER_HOME. */
  readonly home: string
  /** What one command is given. */
  readonly run: (signal?: AbortSignal) => SimulatedRun
  readonly init: (flags?: Partial<InitFlags>, scope?: InitScope) => Promise<InitResult>
  readonly plan: () => Promise<InitResult>
  /** `host script` of every change from here on. */
  readonly changesSince: (count: number) => readonly string[]
}

export const runFlags: RunFlags = {dryRun: false, skipPhases: [], ignorePreflight: [], concurrency: 20}

/** Gives a demo whose machines are bare, and fails when anything asked the fleet for what it does not know. */
export async function withDemo(options: DemoOptions, use: (demo: Demo) => Promise<void>): Promise<void> {
  const home = await mkdtemp(join(tmpdir(), 'clouder-demo-'))
  const bundle = await sharedTinyBundle()
  const spec = options.provider === 'local' ? localSpec(options) : byonSpec(options)
  const {latencyMs} = options
  const fleet = simulatedFleet({
    machines: options.provider === 'local' ? [] : byonMachines(spec),
    ...(latencyMs === undefined ? {} : {latencyMs}),
  })
  const store = memoryStore({home})
  const run = (signal?: AbortSignal): SimulatedRun =>
    simulatedRun({fleet, home, bundle, store, ...(signal === undefined ? {} : {signal})})
  const init: Demo['init'] = (flags = {}, scope = 'init') =>
    initCluster(spec, scope, {...runFlags, confirm: () => Promise.resolve(), ...flags}, run().tools)
  try {
    await use({
      spec,
      fleet,
      store,
      home,
      run,
      init,
      plan: () => init({dryRun: true}),
      changesSince: (count) => fleet.changes.slice(count).map(({host, what}) => `${host} ${what}`),
    })
    expect(fleet.unexpected).toEqual([])
  } finally {
    await rm(home, {recursive: true, force: true})
  }
}

/** `phase host` of steps, in order; `cluster` for those on no host. */
export const placesOf = ({steps}: Pick<InitResult, 'steps'>): readonly string[] =>
  steps.map(({phase, host}) => `${phase} ${host ?? 'cluster'}`)
