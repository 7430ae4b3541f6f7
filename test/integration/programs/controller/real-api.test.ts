import {Registry} from 'prom-client'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {checkpointAdmission} from '../../../../src/platform/addons/checkpoint/admission.ts'
import {API_VERSION, BACKEND_LABELS, NODE_FEATURES_ANNOTATION} from '../../../../src/api/names.ts'
import {startController} from '../../../../src/programs/controller/main.ts'
import {openKube} from '../../../../src/kubernetes/client.ts'
import {refOf} from '../../../../src/kubernetes/refs.ts'
import type {KubeClient, KubeObject, ObjectRef} from '../../../../src/kubernetes/types.ts'
import {waitFor} from '../../../../src/base/waiting.ts'
import {NODE_FEATURES} from '../../../support/simulated-nodes.ts'
import {
  needBundle,
  serveCheckpoints,
  startApiServer,
  type ApiServer,
} from '../../../support/with-api-server.ts'
import {RUNNING_STATUS} from '../../../support/running-status.ts'

const LEASE = {leaseMs: 1500, renewMs: 1000, retryMs: 100}
let started: Promise<ApiServer> | undefined

/** One real API server for this file, with two nodes that nobody runs. */
async function apiServer(context: TestContext): Promise<ApiServer> {
  const bundle = await needBundle(context)
  return (started ??= (async () => {
    const api = await startApiServer(bundle)
    await serveCheckpoints(api.kube)
    await api.kube.apply(
      ['clouder-system', 'default'].flatMap((name) => [
        {apiVersion: 'v1', kind: 'Namespace', metadata: {name}},
        {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'default', namespace: name}},
      ]),
    )
    await api.kube.apply([
      {
        apiVersion: 'node.k8s.io/v1',
        kind: 'RuntimeClass',
        metadata: {name: 'clouder-restore'},
        handler: 'clouder-restore',
      },
    ])
    for (const name of ['a', 'b']) await addNode(api.kube, name)
    return api
  })())
}

afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

async function addNode(kube: KubeClient, name: string): Promise<void> {
  await kube.create({
    apiVersion: 'v1',
    kind: 'Node',
    metadata: {
      name,
      labels: {[BACKEND_LABELS.Handler]: 'true'},
      annotations: {[NODE_FEATURES_ANNOTATION]: JSON.stringify(NODE_FEATURES)},
    },
  })
  const node = {apiVersion: 'v1', kind: 'Node', name}
  await kube.patch(
    node,
    {
      status: {
        conditions: [{type: 'Ready', status: 'True', lastHeartbeatTime: null, lastTransitionTime: null}],
        allocatable: {cpu: '4', memory: '8Gi', pods: '110'},
      },
    },
    {subresource: 'status'},
  )
  // Without a controller that does it, the API server marks a new node as not ready.
  await kube.patch(node, {spec: {taints: null}})
}

const inDefault = (kind: string, name: string): ObjectRef => ({
  apiVersion: kind === 'Pod' ? 'v1' : API_VERSION,
  kind,
  namespace: 'default',
  name,
})

/** A controller of its own connection, until `stop`. */
async function controller({kubeconfig, port}: ApiServer, identity: string) {
  const over = new AbortController()
  const kube = await openKube({kubeconfig, port, signal: new AbortController().signal})
  const registry = new Registry()
  const ended = startController({
    kube,
    identity,
    usageOf: () => Promise.reject(new Error('there is no agent here')),
    openStore: () => Promise.reject(new Error('no store')),
    registry,
    now: Date.now,
    log: () => undefined,
    signal: over.signal,
    lease: LEASE,
  }).ended
  return {
    registry,
    stop: async () => {
      over.abort()
      await ended
      kube.close()
    },
  }
}

function eventually(what: string, kube: KubeClient, ref: ObjectRef, holds: (object: KubeObject) => boolean) {
  return waitFor({
    what,
    check: async () => {
      const object = await kube.get(ref)
      const seen = JSON.stringify(object?.['status'])
      return {seen, ...(object !== undefined && holds(object) ? {value: object} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 50,
    signal: new AbortController().signal,
  })
}
const statusSchema = z
  .looseObject({phase: z.string().optional(), targetNodeName: z.string().optional()})
  .default({})
const phaseIs = (phase: string) => (object: KubeObject) =>
  statusSchema.parse(object['status']).phase === phase

test('two controllers move a pod on a real API server: one acts, and the other one when that ends', async (context) => {
  const api = await apiServer(context)
  const {kube} = api
  await kube.create({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'web', namespace: 'default', labels: {app: 'web'}},
    spec: {nodeName: 'a', containers: [{name: 'main', image: 'app:1'}]},
  })
  await kube.patch(inDefault('Pod', 'web'), {status: RUNNING_STATUS}, {subresource: 'status'})
  const first = await controller(api, 'first')
  await kube.create({
    apiVersion: API_VERSION,
    kind: 'Migration',
    metadata: {name: 'move', namespace: 'default'},
    spec: {podName: 'web', nodeName: 'b'},
  })
  const isToReportImages = ({status}: KubeObject): boolean =>
    statusSchema.parse(status).targetNodeName === 'b'
  await eventually(
    'the target to be asked for images',
    kube,
    inDefault('Migration', 'move'),
    isToReportImages,
  )
  await kube.patch(inDefault('Migration', 'move'), {status: {missingImages: []}}, {subresource: 'status'})
  const made = await eventually('the checkpoint', kube, inDefault('Checkpoint', 'move-move'), () => true)
  expect(made['spec']).toMatchObject({podRef: {name: 'web'}, podPolicy: 'Freeze', owner: 'migration/move'})
  const second = await controller(api, 'second')
  await first.stop()
  expect(await first.registry.metrics()).toContain('clouder_controller_leader 0')
  await kube.patch(
    inDefault('Checkpoint', 'move-move'),
    {
      status: {
        phase: 'Ready',
        nodeName: 'a',
        frozen: true,
        nodeFeatures: NODE_FEATURES,
        podTemplate: {metadata: {labels: {app: 'web'}}, spec: {containers: [{name: 'main', image: 'app:1'}]}},
      },
    },
    {subresource: 'status'},
  )
  const asked = ({status}: KubeObject): boolean => statusSchema.parse(status).phase === 'Preparing'
  await eventually('the target to be asked', kube, inDefault('Migration', 'move'), asked)
  await kube.patch(
    inDefault('Migration', 'move'),
    {status: {targetAnswer: {ok: true, message: 'it can'}}},
    {subresource: 'status'},
  )
  const moved = await eventually(
    'the new pod',
    kube,
    inDefault('Pod', 'web'),
    ({metadata}) => metadata.annotations?.['clouder.dev/restore-checkpoint'] === 'move-move',
  )
  expect(moved['spec']).toMatchObject({
    runtimeClassName: 'clouder-restore',
    affinity: {
      nodeAffinity: {
        requiredDuringSchedulingIgnoredDuringExecution: {
          nodeSelectorTerms: [{matchFields: [{key: 'metadata.name', operator: 'In', values: ['b']}]}],
        },
      },
    },
  })
  await kube.patch(inDefault('Pod', 'web'), {status: RUNNING_STATUS}, {subresource: 'status'})
  const done = await eventually('the end', kube, inDefault('Migration', 'move'), phaseIs('Succeeded'))
  expect(done['status']).toMatchObject({
    targetNodeName: 'b',
    downtimeMilliseconds: expect.any(Number) as number,
  })
  expect(await second.registry.metrics()).toContain(
    'clouder_migrations_total{result="Succeeded",way="Store"} 1',
  )
  await second.stop()
})

test('what a policy asks for is made, and what is wrong is told in events and conditions', async (context) => {
  const api = await apiServer(context)
  const {kube} = api
  const acting = await controller(api, 'third')
  await kube.create({
    apiVersion: API_VERSION,
    kind: 'CheckpointPolicy',
    metadata: {name: 'wrong', namespace: 'default'},
    spec: {selector: {}, schedule: '99 * * * *'},
  })
  const told = await eventually('its condition', kube, inDefault('CheckpointPolicy', 'wrong'), ({status}) =>
    JSON.stringify(status ?? {}).includes('ScheduleInvalid'),
  )
  expect(told['status']).toMatchObject({conditions: [{type: 'Valid', status: 'False'}]})
  await kube.create({
    apiVersion: API_VERSION,
    kind: 'Restore',
    metadata: {name: 'lost', namespace: 'default'},
    spec: {checkpointName: 'absent'},
  })
  const failed = await eventually('the failure', kube, inDefault('Restore', 'lost'), phaseIs('Failed'))
  expect(failed['status']).toMatchObject({reason: 'CHECKPOINT_UNKNOWN'})
  await waitFor({
    what: 'the event',
    check: async () => {
      const events = await kube.list({apiVersion: 'v1', kind: 'Event', namespace: 'default'})
      const found = events.some((event) => JSON.stringify(event['involvedObject']).includes('"lost"'))
      return {seen: String(events.length), ...(found ? {value: true} : {})}
    },
    timeoutMs: 10_000,
    intervalMs: 50,
    signal: new AbortController().signal,
  })
  await acting.stop()
})

test('while a pod is moved nobody but the controller makes one of its name', async (context) => {
  const {kube} = await apiServer(context)
  const policy = checkpointAdmission().filter(({metadata}) => metadata.name === 'clouder-moving-pods')
  await kube.apply(policy)
  const pod = (name: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace: 'default'},
    spec: {containers: [{name: 'main', image: 'app:1'}]},
  })
  const migration = inDefault('Migration', 'held')
  await kube.create({
    apiVersion: API_VERSION,
    kind: 'Migration',
    metadata: {name: 'held', namespace: 'default'},
    spec: {podName: 'db-0'},
  })
  await kube.patch(migration, {status: {phase: 'Moving'}}, {subresource: 'status'})
  const attempt = async (name: string): Promise<string> => {
    try {
      await kube.create(pod(name))
      await kube.delete(inDefault('Pod', name), {graceSeconds: 0})
      return 'made'
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  // A policy takes a moment until it is followed.
  await waitFor({
    what: 'the policy',
    check: async () => {
      const seen = await attempt('db-0')
      return {seen, ...(seen.includes('a Migration moves the pod of this name') ? {value: true} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 200,
    signal: new AbortController().signal,
  })
  expect(await attempt('db-1')).toBe('made')
  const letIn = (what: string): Promise<unknown> =>
    waitFor({
      what,
      check: async () => {
        const seen = await attempt('db-0')
        return {seen, ...(seen === 'made' ? {value: true} : {})}
      },
      timeoutMs: 30_000,
      intervalMs: 200,
      signal: new AbortController().signal,
    })
  await kube.patch(migration, {status: {phase: 'Succeeded'}}, {subresource: 'status'})
  await letIn('the end of the move to be seen')
  // The other tests move pods as somebody else than the controller's account.
  await kube.patch(migration, {status: {phase: 'Moving'}}, {subresource: 'status'})
  for (const object of policy.toReversed()) await kube.delete(refOf(object))
  await letIn('the policy to be followed no longer')
  await kube.delete(migration)
})

test('nobody but the controller has the memory of a pod sent to a node', async (context) => {
  const {kube} = await apiServer(context)
  const policy = checkpointAdmission().filter(
    ({metadata}) => metadata.name === 'clouder-checkpoint-transfers',
  )
  await kube.apply(policy)
  const attempt = async (spec: object): Promise<string> => {
    try {
      await kube.create({
        apiVersion: API_VERSION,
        kind: 'Checkpoint',
        metadata: {name: 'mine', namespace: 'default'},
        spec: {podRef: {name: 'db-0'}, ...spec},
      })
      await kube.delete(inDefault('Checkpoint', 'mine'))
      return 'made'
    } catch (error) {
      return error instanceof Error ? error.message : String(error)
    }
  }
  await waitFor({
    what: 'the policy',
    check: async () => {
      const seen = await attempt({transfer: {nodeName: 'b'}})
      return {seen, ...(seen.includes('spec.transfer is set by the controller alone') ? {value: true} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 200,
    signal: new AbortController().signal,
  })
  expect(await attempt({})).toBe('made')
  for (const object of policy.toReversed()) await kube.delete(refOf(object))
})
