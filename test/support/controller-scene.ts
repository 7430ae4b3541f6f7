import {setImmediate as turn} from 'node:timers/promises'
import {Registry} from 'prom-client'
import {API_VERSION} from '../../src/api/names.ts'
import type {ResourceKind} from '../../src/api/resources.ts'
import {controllerMetrics} from '../../src/programs/controller/metrics.ts'
import type {ReconcileContext} from '../../src/programs/controller/reconcile-context.ts'
import type {KubeClient, KubeObject} from '../../src/kubernetes/types.ts'
import {DrivenController} from './driven-controller.ts'
import {FakeKube} from './fake-kube.ts'
import {fixedClock} from './fixed-clock.ts'
import {SimulatedNodes} from './simulated-nodes.ts'

/** Thrown in the place of the controller's next line: it has died right after a change. */
class Killed extends Error {}

export interface SceneOptions {
  /** The controller dies after so many changes of its own, once; another one takes over. */
  readonly killAfter?: number
  readonly openStore?: ReconcileContext['openStore']
  readonly usageOf?: ReconcileContext['usageOf']
  readonly start?: string
  /** The API server as controllers reach it; default: as it is. */
  readonly reach?: (kube: FakeKube) => KubeClient
  /** Why admission refuses to create an object, by now; undefined: it does not. */
  readonly refuse?: (object: KubeObject) => string | undefined
}

/** A small cluster with a controller, on a clock of its own. */
export function controllerScene(options: SceneOptions = {}) {
  const clock = fixedClock(options.start)
  let changes = 0
  const kube = new FakeKube({
    kubelets: true,
    now: clock.now,
    ...(options.refuse === undefined ? {} : {refuse: options.refuse}),
    onChange: () => {
      changes += 1
      if (changes === options.killAfter) throw new Killed('killed')
    },
  })
  const nodes = new SimulatedNodes(kube, clock.now)
  const newController = (): DrivenController =>
    new DrivenController({
      kube: options.reach?.(kube) ?? kube,
      now: clock.now,
      ...(options.openStore === undefined ? {} : {openStore: options.openStore}),
      ...(options.usageOf === undefined ? {} : {usageOf: options.usageOf}),
    })
  let controller = newController()

  const round = async (): Promise<number> => {
    try {
      return await controller.round()
    } catch (error) {
      if (!(error instanceof Killed)) throw error
      await controller.end()
      controller = newController()
      return 0
    }
  }

  return {
    clock,
    kube,
    nodes,
    /** Changes that controllers have made. */
    changes: () => changes,
    put(kind: ResourceKind, name: string, spec: object, metadata: object = {}): void {
      const namespaced = kind !== 'CheckpointStore' && kind !== 'ContainerHost'
      kube.put({
        apiVersion: API_VERSION,
        kind,
        metadata: {name, ...(namespaced ? {namespace: 'default'} : {}), ...metadata},
        spec,
      })
    },
    object: (kind: ResourceKind, name: string): KubeObject | undefined =>
      kube.peek(API_VERSION, kind).find(({metadata}) => metadata.name === name),
    status: (kind: ResourceKind, name: string): unknown =>
      kube.peek(API_VERSION, kind).find(({metadata}) => metadata.name === name)?.['status'],
    pods: (): readonly KubeObject[] => kube.peek('v1', 'Pod'),
    pod: (name: string): KubeObject | undefined =>
      kube.peek('v1', 'Pod').find(({metadata}) => metadata.name === name),
    /** Lets everything go on until `until` holds, or for so much time; `each` is called after every step. */
    async play({
      until,
      forMs = 20 * 60_000,
      each,
    }: {
      readonly until?: () => boolean
      readonly forMs?: number
      readonly each?: () => void
    } = {}): Promise<void> {
      const endMs = clock.now() + forMs
      while (until?.() !== true) {
        const before = changes
        const waitMs = await round()
        each?.()
        const moved = nodes.tick()
        each?.()
        await turn()
        if (changes !== before || moved) {
          clock.advance(100)
          continue
        }
        if (clock.now() >= endMs) {
          if (until === undefined) return
          throw new Error(
            `not in time: ${JSON.stringify(kube.peek(API_VERSION, 'Migration').map(({status}) => status))}`,
          )
        }
        clock.advance(Math.max(100, Math.min(waitMs, endMs - clock.now())))
      }
    },
    /** What a controller works with that has heard of nothing but these. */
    heard: (...objects: readonly KubeObject[]): ReconcileContext => ({
      kube,
      component: 'clouder-controller',
      objects: {
        get: (kind, name) => objects.find((object) => object.kind === kind && object.metadata.name === name),
        list: (kind) => objects.filter((object) => object.kind === kind),
        unreadable: () => [],
      },
      openStore: () => Promise.reject(new Error('no store here')),
      usageOf: () => Promise.reject(new Error('no agent here')),
      metrics: controllerMetrics(new Registry()),
      log: () => undefined,
      now: clock.now,
      signal: new AbortController().signal,
    }),
    /** What the controller answers at /metrics. */
    metrics: (): Promise<string> => controller.registry.metrics(),
    async end(): Promise<void> {
      await controller.end()
    },
  }
}
export type ControllerScene = ReturnType<typeof controllerScene>
