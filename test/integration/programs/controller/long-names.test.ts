import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {
  API_VERSION,
  BACKEND_LABELS,
  INTERRUPTION_ANNOTATION,
  NODE_FEATURES_ANNOTATION,
} from '../../../../src/api/names.ts'
import {labelValue} from '../../../../src/api/object-names.ts'
import {migrationSchema} from '../../../../src/api/resources.ts'
import {startController} from '../../../../src/programs/controller/main.ts'
import type {KubeClient, KubeObject, ObjectRef} from '../../../../src/kubernetes/types.ts'
import {waitFor} from '../../../../src/base/waiting.ts'
import {NODE_FEATURES} from '../../../support/simulated-nodes.ts'
import {needBundle, serveCheckpoints, startApiServer} from '../../../support/with-api-server.ts'
import {RUNNING_STATUS} from '../../../support/running-status.ts'

const LENGTHS = [41, 42, 62, 63, 100, 253]
/** A dash or a dot wherever a name may be cut. */
const nameOf = (length: number): string => `${'a-b.'.repeat(64).slice(0, length - 1)}z`
const TEMPLATE = {metadata: {labels: {spot: 'true'}}, spec: {containers: [{name: 'main', image: 'app:1'}]}}
const {signal} = new AbortController()

const ref = (kind: string, name: string): ObjectRef => ({
  apiVersion: kind === 'Pod' ? 'v1' : API_VERSION,
  kind,
  namespace: 'default',
  name,
})

const node = (name: string): ObjectRef => ({apiVersion: 'v1', kind: 'Node', name})

/** The agent of a node reports that its machine will be taken away. */
const announce = (kube: KubeClient, id: string): Promise<unknown> =>
  kube.patch(node('a'), {
    metadata: {annotations: {[INTERRUPTION_ANNOTATION]: JSON.stringify([{id, kind: 'terminate'}])}},
  })

const listed = (kube: KubeClient, kind: string, count: number): Promise<readonly KubeObject[]> =>
  waitFor({
    what: `${count} objects of kind ${kind}`,
    check: async () => {
      const value = await kube.list({apiVersion: API_VERSION, kind, namespace: 'default'})
      return {seen: String(value.length), ...(value.length === count ? {value} : {})}
    },
    timeoutMs: 60_000,
    intervalMs: 100,
    signal,
  })

async function serve(kube: KubeClient): Promise<void> {
  await serveCheckpoints(kube)
  for (const name of ['clouder-system', 'default'])
    await kube.apply([
      {apiVersion: 'v1', kind: 'Namespace', metadata: {name}},
      {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'default', namespace: name}},
    ])
  const handler = {apiVersion: 'node.k8s.io/v1', kind: 'RuntimeClass', metadata: {name: 'clouder-restore'}}
  await kube.apply([{...handler, handler: 'clouder-restore'}])
  for (const name of ['a', 'b']) {
    await kube.create({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: {[BACKEND_LABELS.Handler]: 'true'},
        annotations: {[NODE_FEATURES_ANNOTATION]: JSON.stringify(NODE_FEATURES)},
      },
    })
    await kube.patch(
      {apiVersion: 'v1', kind: 'Node', name},
      {
        status: {
          conditions: [{type: 'Ready', status: 'True', lastHeartbeatTime: null, lastTransitionTime: null}],
          allocatable: {cpu: '4', memory: '8Gi', pods: '110'},
        },
      },
      {subresource: 'status'},
    )
    await kube.patch({apiVersion: 'v1', kind: 'Node', name}, {spec: {taints: null}})
  }
}

function eventually(
  what: string,
  kube: KubeClient,
  wanted: ObjectRef,
  holds: (object: KubeObject) => boolean,
) {
  return waitFor({
    what: `${what} of ${wanted.name.length} letters`,
    check: async () => {
      const object = await kube.get(wanted)
      const seen = JSON.stringify(object?.['status'])
      return {seen, ...(object !== undefined && holds(object) ? {value: object} : {})}
    },
    timeoutMs: 60_000,
    intervalMs: 100,
    signal,
  })
}

/** Moves a pod as its agents would, and gives the labels by which its checkpoint and the new pod are found. */
async function moved(kube: KubeClient, pod: string): Promise<(string | undefined)[]> {
  const all = (await kube.list({apiVersion: API_VERSION, kind: 'Migration'})).map((object) =>
    migrationSchema.parse(object),
  )
  const name = all.find(({spec}) => spec.podName === pod)?.metadata.name ?? `no move of ${pod}`
  const migration = ref('Migration', name)
  const status = (object: KubeObject) => migrationSchema.parse(object).status ?? {}
  await eventually('the target', kube, migration, (object) => status(object).targetNodeName === 'b')
  await kube.patch(migration, {status: {missingImages: []}}, {subresource: 'status'})
  const begun = await eventually(
    'a name',
    kube,
    migration,
    (object) => status(object).checkpointName !== undefined,
  )
  const checkpoint = ref('Checkpoint', status(begun).checkpointName ?? '')
  const made = await eventually('the checkpoint', kube, checkpoint, () => true)
  const ready = {
    phase: 'Ready',
    nodeName: 'a',
    frozen: true,
    nodeFeatures: NODE_FEATURES,
    podTemplate: TEMPLATE,
  }
  await kube.patch(checkpoint, {status: ready}, {subresource: 'status'})
  await eventually('the question', kube, migration, (object) => status(object).phase === 'Preparing')
  await kube.patch(
    migration,
    {status: {targetAnswer: {ok: true, message: 'it can'}}},
    {subresource: 'status'},
  )
  const isRestored = ({metadata}: KubeObject): boolean =>
    metadata.annotations?.['clouder.dev/restore-checkpoint'] === checkpoint.name
  const target = await eventually('the new pod', kube, ref('Pod', pod), isRestored)
  await kube.patch(ref('Pod', pod), {status: RUNNING_STATUS}, {subresource: 'status'})
  await eventually('the end', kube, migration, (object) => status(object).phase === 'Succeeded')
  const label = 'clouder.dev/migration'
  expect(labelValue(name)).toBe(made.metadata.labels?.[label])
  return [made.metadata.labels?.[label], target.metadata.labels?.[label]]
}

test('pods with names of any length are moved from a machine that is taken away, and checkpointed', async (context) => {
  const bundle = await needBundle(context)
  await using api = await startApiServer(bundle)
  const {kube} = api
  await serve(kube)
  const policy = nameOf(253)
  await kube.create({
    apiVersion: API_VERSION,
    kind: 'CheckpointPolicy',
    metadata: {name: policy, namespace: 'default'},
    spec: {selector: {matchLabels: {spot: 'true'}}, checkpointOnInterruption: true, storeName: 'default'},
  })
  const pods = LENGTHS.map(nameOf)
  for (const name of pods) {
    const metadata = {name, namespace: 'default', labels: {spot: 'true'}}
    await kube.create({apiVersion: 'v1', kind: 'Pod', metadata, spec: {...TEMPLATE.spec, nodeName: 'a'}})
    await kube.patch(ref('Pod', name), {status: RUNNING_STATUS}, {subresource: 'status'})
  }
  // Nobody else takes them: they are checkpointed.
  await kube.patch(node('b'), {spec: {unschedulable: true}})
  const over = new AbortController()
  const acting = startController({
    kube,
    identity: 'first',
    usageOf: () => Promise.reject(new Error('there is no agent here')),
    openStore: () => Promise.reject(new Error('no store')),
    registry: new Registry(),
    now: Date.now,
    log: () => undefined,
    signal: over.signal,
    lease: {leaseMs: 1500, renewMs: 1000, retryMs: 100},
  }).ended
  await announce(kube, 'first')
  const saved = await listed(kube, 'Checkpoint', pods.length)
  expect(saved.map(({metadata}) => metadata.labels)).toEqual(
    pods.map(() => ({'clouder.dev/policy': labelValue(policy)})),
  )
  for (const {metadata} of saved) await kube.delete(ref('Checkpoint', metadata.name))
  await kube.patch(node('b'), {spec: {unschedulable: null}})
  await announce(kube, 'second')
  await listed(kube, 'Migration', pods.length)
  for (const labels of await Promise.all(pods.map((pod) => moved(kube, pod))))
    expect(labels[0]).toBe(labels[1])
  // Names that users chose: of a restore, and of a runtime with its home, its Service and its pod.
  const restore = nameOf(250)
  const last = (await kube.list({apiVersion: API_VERSION, kind: 'Checkpoint', namespace: 'default'})).at(-1)
  await kube.create({
    apiVersion: API_VERSION,
    kind: 'Restore',
    metadata: {name: restore, namespace: 'default'},
    spec: {checkpointName: last?.metadata.name ?? '', podName: nameOf(249)},
  })
  const again = await eventually('the restored pod', kube, ref('Pod', nameOf(249)), () => true)
  expect(again.metadata.labels?.['clouder.dev/restore']).toBe(labelValue(restore))
  const runtime = nameOf(252)
  await kube.create({
    apiVersion: API_VERSION,
    kind: 'Runtime',
    metadata: {name: runtime, namespace: 'default'},
    spec: {state: 'Running', image: 'app:1', storeName: 'default', ports: [80], home: {size: '1Gi'}},
  })
  const pod = await eventually('the runtime', kube, ref('Pod', runtime), () => true)
  expect(pod.metadata.labels?.['clouder.dev/runtime']).toBe(labelValue(runtime))
  over.abort()
  await acting
})
