import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {API_VERSION, CHECKPOINT_FINALIZER, SYSTEM_NAMESPACE} from '../../../../src/api/names.ts'
import {startController} from '../../../../src/programs/controller/main.ts'
import {electLeader} from '../../../../src/operator/leader-election.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const NOW_MS = Date.parse('2026-01-01T00:00:00Z')

/** A controller over what an API server holds that had no rules yet; `check` sees what becomes of it. */
async function leading(kube: FakeKube, check: () => Promise<void>): Promise<void> {
  // Of its Lease.
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: SYSTEM_NAMESPACE}})
  const over = new AbortController()
  const {ended} = startController({
    kube,
    identity: 'one',
    lease: {leaseMs: 1500, renewMs: 1000, retryMs: 10},
    openStore: () => Promise.reject(new CheckpointError('STORE_UNREACHABLE', 'there is no store here')),
    usageOf: () => Promise.reject(new Error('there is no agent here')),
    registry: new Registry(),
    log: () => undefined,
    now: () => NOW_MS,
    signal: over.signal,
  })
  await Promise.race([check(), ended])
  over.abort()
  await ended
}

const object = (kind: string, name: string, rest: object, metadata: object = {}): KubeObject => ({
  apiVersion: API_VERSION,
  kind,
  metadata: {name, namespace: 'default', ...metadata},
  ...rest,
})

const invalid: readonly KubeObject[] = [
  object('Checkpoint', 'bad', {
    spec: {
      podRef: {name: 'web'},
      hooks: {preCheckpoint: {container: 'web', command: ['true'], timeoutSeconds: 601}},
    },
  }),
  object('Restore', 'bad', {spec: {checkpointName: 'web', ttlSecondsAfterFinished: 2 ** 53}}),
  object('Migration', 'bad', {spec: {podName: 'web', ttlSecondsAfterFinished: 2 ** 53}}),
  object('Runtime', 'bad', {spec: {image: 'web', ports: [70_000]}}),
]

test('what no schema takes is reported on itself, and everything else is done', async () => {
  const kube = new FakeKube()
  for (const one of invalid) kube.put(one)
  kube.put(object('CheckpointPolicy', 'bad', {spec: {selector: {}, retention: {keepLast: 0}}}))
  kube.put(object('CheckpointPolicy', 'good', {spec: {selector: {}, schedule: '0 * * * *'}}))
  await leading(kube, async () => {
    for (const {kind, apiVersion, metadata} of invalid) {
      const {name, namespace} = metadata
      await expect
        .poll(
          async () =>
            (await kube.get({apiVersion, kind, name, ...(namespace ? {namespace} : {})}))?.['status'],
        )
        .toMatchObject({
          phase: 'Failed',
          reason: 'Invalid',
          message: expect.stringContaining('spec.') as unknown,
        })
    }
    const policy = {apiVersion: API_VERSION, kind: 'CheckpointPolicy', namespace: 'default'}
    await expect
      .poll(async () => (await kube.get({...policy, name: 'bad'}))?.['status'])
      .toMatchObject({conditions: [{type: 'Valid', status: 'False', reason: 'Invalid'}]})
    await expect
      .poll(async () => (await kube.get({...policy, name: 'good'}))?.['status'])
      .toMatchObject({conditions: [{type: 'Valid', status: 'True'}]})
  })
  const events = await kube.list({apiVersion: 'v1', kind: 'Event', namespace: 'default'})
  expect(events.filter((event) => event['reason'] === 'Invalid')).toHaveLength(invalid.length + 1)
})

test('it can be deleted, and one that was stored before keeps saying so', async () => {
  const kube = new FakeKube()
  const [bad] = invalid
  if (bad === undefined) throw new Error('there is none')
  const held = {...bad.metadata, finalizers: ['example.com/other', CHECKPOINT_FINALIZER]}
  kube.put({...bad, metadata: {...held, name: 'stored'}, status: {phase: 'Ready'}})
  kube.put({...bad, metadata: {...held, name: 'deleted', deletionTimestamp: '2026-01-01T00:00:00Z'}})
  const read = (name: string) =>
    kube.get({apiVersion: API_VERSION, kind: 'Checkpoint', namespace: 'default', name})
  await leading(kube, async () => {
    await expect.poll(async () => (await read('deleted'))?.metadata.finalizers).toEqual(['example.com/other'])
    await expect
      .poll(async () => (await kube.list({apiVersion: 'v1', kind: 'Event', namespace: 'default'})).length)
      .toBe(1)
  })
  expect((await read('stored'))?.['status']).toEqual({phase: 'Ready'})
})

test('a leader whose watch ends by an error gives its lease back and ends by that error', async () => {
  const kube = new FakeKube()
  const election = electLeader({
    kube,
    namespace: 'default',
    name: 'one',
    identity: 'a',
    leaseMs: 150,
    renewMs: 100,
    retryMs: 10,
    lead: () => Promise.reject(new TypeError('a watch ended')),
    onChange: () => undefined,
    log: () => undefined,
    signal: AbortSignal.timeout(5000),
  })
  await expect(election).rejects.toThrow('a watch ended')
  const lease = {apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'default', name: 'one'}
  expect(await kube.get(lease)).toMatchObject({spec: {holderIdentity: ''}})
})

test('a store holds a stored checkpoint that no schema takes any more', async () => {
  const kube = new FakeKube()
  const spec = {podRef: {name: 'web'}, podPolicy: 'Invalid'}
  kube.put(object('Checkpoint', 'bad', {spec, status: {digest: `sha256:${'0'.repeat(64)}`}}))
  kube.put({apiVersion: API_VERSION, kind: 'CheckpointStore', metadata: {name: 'default'}, spec: {node: {}}})
  await leading(kube, async () => {
    await expect
      .poll(
        async () =>
          (await kube.get({apiVersion: API_VERSION, kind: 'CheckpointStore', name: 'default'}))?.['status'],
      )
      .toMatchObject({inUse: true})
  })
})
