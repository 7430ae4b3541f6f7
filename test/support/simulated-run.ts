import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {Bundle} from '../../src/bundle/types.ts'
import type {Provider} from '../../src/infrastructure/providers/provider.ts'
import {byonProvider} from '../../src/infrastructure/providers/byon.ts'
import type {ClusterSpec} from '../../src/spec/cluster-spec.ts'
import {loadSpec} from '../../src/spec/load.ts'
import type {Machine} from '../../src/spec/machine.ts'
import {plannedNodes} from '../../src/spec/machines.ts'
import type {ClusterStore} from '../../src/store/types.ts'
import {createRenderer} from '../../src/bootstrap/templating/render.ts'
import type {Tools} from '../../src/workflows/session/types.ts'
import {fakeMachine} from './fake-host.ts'
import {memoryContexts} from './memory-contexts.ts'
import {memoryStore} from './memory-store.ts'
import {recordingReport, type RecordingReport} from './recording-report.ts'
import type {SimulatedFleet} from './simulated-fleet.ts'
import {buildTinyBundle, tinySource} from './tiny-bundle.ts'

/** `10.X.Y.Z` of the n-th machine of a fleet, from 1. */
export const addressOf = (number: number): string =>
  `10.${64 + Math.floor(number / 65_536)}.${Math.floor(number / 256) % 256}.${number % 256}`

/** The spec of cluster demo on machines that somebody brings. */
export function byonSpec(options: {
  readonly workers: number
  readonly controlPlanes?: number
  /** YAML flow text of more keys below `spec:`. */
  readonly more?: string
}): ClusterSpec {
  const {workers, controlPlanes = 1, more} = options
  const hosts = (first: number, count: number): string =>
    Array.from({length: count}, (_, index) => `{address: ${addressOf(first + index)}}`).join(', ')
  const pools = workers === 0 ? '[]' : `[{name: worker, hosts: [${hosts(controlPlanes + 1, workers)}]}]`
  const body = [
    'provider: {kind: byon}',
    ...(more?.includes('addons:') === true ? [] : ['addons: {profile: minimal}']),
    `controlPlane: {hosts: [${hosts(1, controlPlanes)}]}`,
    `workers: ${pools}`,
    ...(controlPlanes > 1 ? ['api: {endpoint: 10.64.0.1}'] : []),
    ...(more === undefined ? [] : [more]),
  ].join(', ')
  return loadSpec({
    text: `apiVersion: clouder.dev/v1alpha1\nkind: Cluster\nmetadata: {name: demo}\nspec: {${body}}\n`,
  })
}

/** The spec of cluster demo on machines that the provider makes. */
export const localSpec = (options: {workers: number; controlPlanes?: number; more?: string}): ClusterSpec =>
  loadSpec({
    name: 'demo',
    text: [
      'apiVersion: clouder.dev/v1alpha1',
      'kind: Cluster',
      'metadata: {name: demo}',
      `spec: {provider: {kind: local}, addons: {profile: minimal}${options.more === undefined ? '' : `, ${options.more}`}}`,
    ].join('\n'),
    overrides: {workers: options.workers, controlPlanes: options.controlPlanes ?? 1},
  })

/** A provider that makes machines of the fleet, as `local` makes containers. */
export function simulatedProvider(fleet: SimulatedFleet): Provider {
  const machinesOf = (spec: ClusterSpec): readonly Machine[] =>
    plannedNodes(spec).map((node, index) =>
      fakeMachine(node.name, {
        role: node.role,
        ...(node.pool === undefined ? {} : {pool: node.pool}),
        address: addressOf(index + 1),
        privateAddress: addressOf(index + 1),
        labels: {...node.labels},
        taints: node.taints.map((taint) => ({...taint})),
      }),
    )
  const absent = (spec: ClusterSpec): readonly Machine[] =>
    machinesOf(spec).filter(({address}) => !fleet.machines.has(address))
  const endpoint = {internal: `${addressOf(1)}:6443`, external: '127.0.0.1:36443', certSans: ['127.0.0.1']}
  return {
    kind: 'local',
    plan: (spec) =>
      Promise.resolve(
        absent(spec).map(({name}) => ({action: 'create', what: `machine ${name}`, reason: 'it is absent'})),
      ),
    provision: (spec) => {
      for (const machine of machinesOf(spec)) fleet.add(machine)
      return Promise.resolve({endpoint, machines: machinesOf(spec)})
    },
    inspect: (spec) =>
      Promise.resolve(absent(spec).length > 0 ? undefined : {endpoint, machines: machinesOf(spec)}),
    destroy: () => Promise.resolve(fleet.clear().map((name) => `machine ${name}`)),
  }
}

const packageRoot = join(import.meta.dirname, '../..')
const renderer = createRenderer(join(packageRoot, 'templates'))

/** A bundle of a few kilobytes with everything that a node installs, by name. */
export const simulatedBundle = (dir: string): Promise<Bundle> =>
  buildTinyBundle({dir, source: tinySource(), overrides: {packageRoot}})

export interface SimulatedRun {
  readonly tools: Tools
  readonly recorded: RecordingReport
  readonly store: ClusterStore
}

/** What workflows are given, over a fleet; state lies below `home`. One per run, as on the command line. */
export function simulatedRun(options: {
  readonly fleet: SimulatedFleet
  readonly home: string
  readonly bundle: Bundle
  /** That of an earlier run, to go on with what it remembered. */
  readonly store?: ClusterStore
  readonly signal?: AbortSignal
}): SimulatedRun {
  const {fleet, home, bundle} = options
  const recorded = recordingReport()
  const store = options.store ?? memoryStore({home})
  const tools: Tools = {
    store,
    connectorFor: () => fleet.connector,
    providerFor: (kind) => Promise.resolve(kind === 'byon' ? byonProvider() : simulatedProvider(fleet)),
    bundleFor: () => Promise.resolve(bundle),
    openKube: fleet.openKube,
    checkKubernetesVersion: () => Promise.resolve(),
    renderer,
    report: recorded.report,
    signal: options.signal ?? new AbortController().signal,
    now: () => Date.now(),
    run: '2026-01-01T00-00-00-test',
    contexts: memoryContexts(),
    prices: {
      known: () => Promise.resolve(undefined),
      fresh: () => Promise.reject(new TypeError('no price is simulated')),
    },
    findAccounts: () => Promise.resolve([]),
    openCloud: () => Promise.reject(new TypeError('no cloud is simulated')),
    userKubeconfigs: [join(home, 'kubeconfig')],
    hideSecret: () => undefined,
    stacks: {
      openContext: () => Promise.reject(new Error('there is no kubeconfig of a user here')),
      program: (name) => Promise.reject(new Error(`there is no ${name} here`)),
      helmEnvironment: {},
      temporaryDir: tmpdir(),
      holder: 'test',
      redact: (text) => text,
    },
  }
  return {tools, recorded, store}
}
