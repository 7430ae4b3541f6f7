import {expect, test, type TestContext} from 'vitest'
import {API_VERSION} from '../../src/api/names.ts'
import {ConflictError, retryOnConflict} from '../../src/kubernetes/conflict.ts'
import {refOf} from '../../src/kubernetes/refs.ts'
import type {KubeClient, KubeObject, ObjectRef, WatchEvent} from '../../src/kubernetes/types.ts'
import {waitFor} from '../../src/base/waiting.ts'

const NAMESPACE = 'client-contract'

const configMap = (name: string, data: Record<string, string>, metadata: object = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name, namespace: NAMESPACE, ...metadata},
  data,
})
const refTo = (name: string): ObjectRef => ({apiVersion: 'v1', kind: 'ConfigMap', namespace: NAMESPACE, name})
const checkpoint = (name: string, spec: object = {podRef: {name: 'web'}}): KubeObject => ({
  apiVersion: API_VERSION,
  kind: 'Checkpoint',
  metadata: {name, namespace: NAMESPACE},
  spec,
})
const pod = (name: string, nodeName?: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {name, namespace: NAMESPACE},
  spec: {
    containers: [{name: 'c', image: 'clouder.dev/c:1'}],
    ...(nodeName === undefined ? {} : {nodeName}),
  },
})

/** What the programs of the cluster rely on beyond `kubeContract`; custom resources must be served. */
export function kubeClientContract(name: string, make: (context: TestContext) => Promise<KubeClient>): void {
  const client = (what: string, use: (kube: KubeClient, signal: AbortSignal) => Promise<void>): void =>
    test(`${name}: ${what}`, async (context) => {
      const kube = await make(context)
      await kube.apply([
        {apiVersion: 'v1', kind: 'Namespace', metadata: {name: NAMESPACE}},
        {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'default', namespace: NAMESPACE}},
      ])
      const over = new AbortController()
      try {
        await use(kube, over.signal)
      } finally {
        over.abort()
        for (const [apiVersion, kind] of [
          ['v1', 'ConfigMap'],
          ['v1', 'Pod'],
          [API_VERSION, 'Checkpoint'],
        ] as const)
          for (const object of await kube.list({apiVersion, kind, namespace: NAMESPACE}))
            await kube.delete(refOf(object), {graceSeconds: 0})
      }
    })

  /** Watches the config maps; what was told so far, as `ADDED a`. */
  const watched = async (
    kube: KubeClient,
    signal: AbortSignal,
    query: {readonly labelSelector?: string; readonly fieldSelector?: string} = {},
    kind: {apiVersion: string; kind: string} = {apiVersion: 'v1', kind: 'ConfigMap'},
  ): Promise<(...expected: string[]) => Promise<unknown>> => {
    const told: string[] = []
    const onEvent = ({type, object}: WatchEvent): void =>
      void told.push(`${type} ${object.kind} ${object.metadata.name}`)
    const watching = new Promise<void>((onSynced, failed) => {
      kube.watch({...kind, namespace: NAMESPACE, ...query, onSynced}, onEvent, signal).catch(failed)
    })
    await watching
    return (...expected) =>
      waitFor({
        what: expected.join(', '),
        check: () => {
          const seen = told.filter((item) => !item.endsWith('kube-root-ca.crt'))
          const all = JSON.stringify(seen) === JSON.stringify(expected)
          return Promise.resolve({seen: JSON.stringify(seen), ...(all ? {value: true} : {})})
        },
        timeoutMs: 5000,
        intervalMs: 5,
        signal,
      })
  }

  client('a watch tells what is there, then what comes, changes and goes', async (kube, signal) => {
    await kube.create(configMap('a', {}))
    const told = await watched(kube, signal)
    await told('ADDED ConfigMap a')
    await kube.create(configMap('b', {}))
    await kube.patch(refTo('a'), {data: {x: '1'}})
    await kube.delete(refTo('b'))
    await told('ADDED ConfigMap a', 'ADDED ConfigMap b', 'MODIFIED ConfigMap a', 'DELETED ConfigMap b')
  })

  client('what no longer matches the labels of a watch is told as gone', async (kube, signal) => {
    const told = await watched(kube, signal, {labelSelector: 'team=red'})
    await kube.create(configMap('a', {}, {labels: {team: 'blue'}}))
    await kube.create(configMap('b', {}, {labels: {team: 'red'}}))
    await kube.patch(refTo('b'), {metadata: {labels: {team: 'blue'}}})
    await told('ADDED ConfigMap b', 'DELETED ConfigMap b')
  })

  client('pods are watched by node', async (kube, signal) => {
    const told = await watched(
      kube,
      signal,
      {fieldSelector: 'spec.nodeName=node-1'},
      {apiVersion: 'v1', kind: 'Pod'},
    )
    await kube.create(pod('elsewhere', 'node-2'))
    await kube.create(pod('here', 'node-1'))
    await told('ADDED Pod here')
  })

  client('a watch ends with its signal, and tells nothing afterwards', async (kube) => {
    const stopped = new AbortController()
    const told: string[] = []
    await new Promise<void>((resolve, reject) => {
      const onSynced = (): void => stopped.abort()
      kube
        .watch(
          {apiVersion: 'v1', kind: 'ConfigMap', namespace: NAMESPACE, onSynced},
          ({object}) => void told.push(object.metadata.name),
          stopped.signal,
        )
        .then(resolve, reject)
    })
    await kube.create(configMap('late', {}))
    await kube.get(refTo('late'))
    expect(told).not.toContain('late')
  })

  client('one of a name is created; the second is told that there is one', async (kube) => {
    expect(await kube.create(configMap('a', {by: 'first'}))).toMatchObject({data: {by: 'first'}})
    expect(await kube.create(configMap('a', {by: 'second'}))).toBeUndefined()
    expect(await kube.get(refTo('a'))).toMatchObject({data: {by: 'first'}})
  })

  client('a dry run answers as a creation would, and makes nothing', async (kube) => {
    expect(await kube.create(configMap('a', {n: '1'}), {dryRun: true})).toMatchObject({data: {n: '1'}})
    expect(await kube.get(refTo('a'))).toBeUndefined()
    await kube.create(configMap('a', {n: '0'}))
    expect(await kube.create(configMap('a', {n: '1'}), {dryRun: true})).toBeUndefined()
    expect(await kube.get(refTo('a'))).toMatchObject({data: {n: '0'}})
    const invalid = kube.create(configMap('Not_Valid', {}), {dryRun: true})
    await expect(invalid).rejects.toMatchObject({code: 'API_REJECTED'})
  })

  client('what is not valid, or of an unknown kind, is refused when it is created', async (kube) => {
    await expect(kube.create(configMap('Not_Valid', {}))).rejects.toMatchObject({code: 'API_REJECTED'})
    const unknown = {apiVersion: 'unheard.dev/v1', kind: 'Thing', metadata: {name: 'a'}}
    await expect(kube.create(unknown)).rejects.toMatchObject({code: 'API_REJECTED'})
  })

  client('of two who replace what they read, one is told that he was too late', async (kube) => {
    await kube.create(configMap('a', {n: '0'}))
    const [one, two] = [await kube.get(refTo('a')), await kube.get(refTo('a'))]
    if (one === undefined || two === undefined) throw new Error('nothing was made')
    expect(await kube.update({...one, data: {n: '1'}})).toMatchObject({data: {n: '1'}})
    await expect(kube.update({...two, data: {n: '2'}})).rejects.toThrow(ConflictError)
    expect(await kube.get(refTo('a'))).toMatchObject({data: {n: '1'}})
    await kube.delete(refTo('a'))
    await expect(kube.update(one)).rejects.toThrow(ConflictError)
  })

  client('a patch of a version that is gone is refused', async (kube) => {
    const {resourceVersion} = (await kube.create(configMap('a', {})))?.metadata ?? {}
    const label = (name: string): Promise<KubeObject> =>
      kube.patch(refTo('a'), {metadata: {labels: {[name]: 'x'}}}, {resourceVersion})
    expect((await label('one')).metadata.labels).toEqual({one: 'x'})
    const late = label('two')
    await expect(late).rejects.toThrow(ConflictError)
    await expect(late).rejects.toMatchObject({code: 'API_CONFLICT', isTransient: true, answer: {status: 409}})
    expect((await kube.get(refTo('a')))?.metadata.labels).toEqual({one: 'x'})
    await kube.delete(refTo('a'))
    await expect(label('three')).rejects.toThrow(ConflictError)
  })

  client('of two who add to a list of old, neither takes away what the other added', async (kube) => {
    await kube.create(configMap('a', {}))
    const add = (name: string): Promise<unknown> =>
      retryOnConflict(async () => {
        const {resourceVersion, finalizers = []} = (await kube.get(refTo('a')))?.metadata ?? {}
        return kube.patch(refTo('a'), {metadata: {finalizers: [...finalizers, name]}}, {resourceVersion})
      })
    const names = ['a', 'b', 'c', 'd'].map((letter) => `clouder.dev/${letter}`)
    await Promise.all(names.map(add))
    expect((await kube.get(refTo('a')))?.metadata.finalizers?.toSorted()).toEqual(names)
    await kube.patch(refTo('a'), {metadata: {finalizers: null}})
  })

  client('what has changed since it was read is not deleted', async (kube) => {
    const {uid, resourceVersion} = (await kube.create(configMap('a', {})))?.metadata ?? {}
    const {metadata} = await kube.patch(refTo('a'), {data: {n: '1'}})
    await expect(kube.delete(refTo('a'), {uid, resourceVersion})).rejects.toThrow(ConflictError)
    expect(await kube.get(refTo('a'))).toBeDefined()
    await kube.delete(refTo('a'), {uid, resourceVersion: metadata.resourceVersion})
    expect(await kube.get(refTo('a'))).toBeUndefined()
    await kube.delete(refTo('a'), {resourceVersion})
  })

  client('lists go by field', async (kube) => {
    await kube.create(pod('elsewhere', 'node-2'))
    await kube.create(pod('here', 'node-1'))
    const found = await kube.list({
      ...{apiVersion: 'v1', kind: 'Pod', namespace: NAMESPACE},
      fieldSelector: 'spec.nodeName=node-1',
    })
    expect(found.map(({metadata}) => metadata.name)).toEqual(['here'])
  })

  client('the status is written apart, and only if nobody was quicker', async (kube) => {
    await kube.create({...checkpoint('c'), status: {phase: 'Ready'}})
    const ref = refOf(checkpoint('c'))
    const first = await kube.get(ref)
    expect(first?.['status']).toBeUndefined()
    const lock = {resourceVersion: first?.metadata.resourceVersion ?? ''}
    const write = (status: object, options: object = {}): Promise<KubeObject> =>
      kube.patch(ref, {status}, {subresource: 'status', ...options})
    const written = await write({phase: 'Dumping', message: 'x'}, lock)
    expect(written).toMatchObject({status: {phase: 'Dumping', message: 'x'}, metadata: {generation: 1}})
    await expect(write({phase: 'Failed'}, lock)).rejects.toThrow(ConflictError)
    expect(await write({message: null})).toMatchObject({status: {phase: 'Dumping'}})
    await kube.patch(ref, {metadata: {labels: {a: 'b'}}, status: {phase: 'Ready'}})
    const after = await kube.get(ref)
    expect(after?.['status']).toEqual({phase: 'Dumping'})
    expect(after?.metadata).toMatchObject({generation: 1, labels: {a: 'b'}})
    await kube.delete(ref)
    await expect(write({phase: 'Ready'}, lock)).rejects.toThrow(ConflictError)
    await expect(write({phase: 'Ready'})).rejects.toMatchObject({code: 'API_REJECTED', answer: {status: 404}})
  })

  client('another one of the same name is not deleted by mistake', async (kube) => {
    const made = await kube.create(configMap('a', {}))
    await kube.delete(refTo('a'), {uid: '00000000-0000-0000-0000-000000000000'})
    expect(await kube.get(refTo('a'))).toBeDefined()
    await kube.delete(refTo('a'), {uid: made?.metadata.uid ?? ''})
    expect(await kube.get(refTo('a'))).toBeUndefined()
    await kube.delete(refTo('a'), {uid: 'x'})
  })

  client('what has a finalizer goes when that is taken away', async (kube) => {
    await kube.create(configMap('a', {}, {finalizers: ['clouder.dev/test']}))
    await kube.delete(refTo('a'))
    expect((await kube.get(refTo('a')))?.metadata.deletionTimestamp).toBeTruthy()
    await kube.patch(refTo('a'), {metadata: {finalizers: null}})
    expect(await kube.get(refTo('a'))).toBeUndefined()
  })

  client('a pod of a node is ended by its kubelet, one of no node at once', async (kube) => {
    await kube.create(pod('placed', 'node-1'))
    await kube.create(pod('nowhere'))
    await kube.delete(refOf(pod('placed')))
    await kube.delete(refOf(pod('nowhere')))
    expect(await kube.get(refOf(pod('nowhere')))).toBeUndefined()
    expect((await kube.get(refOf(pod('placed'))))?.metadata.deletionTimestamp).toBeTruthy()
    await kube.delete(refOf(pod('placed')), {graceSeconds: 0})
    expect(await kube.get(refOf(pod('placed')))).toBeUndefined()
  })

  client('each field manager has fields of its own, and what it applies no longer goes', async (kube) => {
    await kube.applyAs('one', configMap('a', {a: '1', both: 'x'}))
    const after = await kube.applyAs('two', configMap('a', {b: '1', both: 'y'}))
    expect(after['data']).toEqual({a: '1', b: '1', both: 'y'})
    await kube.applyAs('one', configMap('a', {}))
    expect((await kube.get(refTo('a')))?.['data']).toEqual({b: '1', both: 'y'})
    await kube.applyAs('two', configMap('a', {b: '2'}))
    expect((await kube.get(refTo('a')))?.['data']).toEqual({b: '2'})
  })

  client('a dry run of apply gives what would be, and changes nothing', async (kube) => {
    await kube.applyAs('one', configMap('a', {a: '1', b: '1'}))
    const before = await kube.get(refTo('a'))
    const would = await kube.dryRun(configMap('a', {a: '2'}), 'one')
    expect(would).toMatchObject({metadata: {uid: before?.metadata.uid}})
    expect(would['data']).toEqual({a: '2'})
    expect(await kube.get(refTo('a'))).toEqual(before)
    const refused = kube.dryRun(configMap('Not_Valid', {}), 'one')
    await expect(refused).rejects.toMatchObject({code: 'API_REJECTED'})
    expect(await kube.missingRule(['get', 'patch'], refTo('a'))).toBeUndefined()
  })
}
