import {expect, test, type TestContext} from 'vitest'
import {KubernetesError} from '../../src/kubernetes/errors.ts'
import type {KubeClient, KubeObject, ObjectRef} from '../../src/kubernetes/types.ts'

const NAMESPACE = 'contract'
const namespace: KubeObject = {apiVersion: 'v1', kind: 'Namespace', metadata: {name: NAMESPACE}}

const configMap = (
  name: string,
  data: Record<string, string>,
  labels?: Record<string, string>,
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name, namespace: NAMESPACE, ...(labels === undefined ? {} : {labels})},
  data,
})
const refTo = (name: string): ObjectRef => ({apiVersion: 'v1', kind: 'ConfigMap', namespace: NAMESPACE, name})
const deployment = (replicas: number): KubeObject => ({
  apiVersion: 'apps/v1',
  kind: 'Deployment',
  metadata: {name: 'web', namespace: NAMESPACE},
  spec: {
    replicas,
    selector: {matchLabels: {app: 'web'}},
    template: {
      metadata: {labels: {app: 'web'}},
      spec: {containers: [{name: 'web', image: 'clouder.dev/web:1'}]},
    },
  },
})

/** What phases rely on; every KubeClient passes it, the fake too. `make` gives one API server, the same each time. */
export function kubeContract(name: string, make: (context: TestContext) => Promise<KubeClient>): void {
  const withKube = (use: (kube: KubeClient) => Promise<void>) => async (context: TestContext) => {
    const kube = await make(context)
    await kube.apply([namespace])
    await use(kube)
    for (const object of await kube.list({apiVersion: 'v1', kind: 'ConfigMap', namespace: NAMESPACE}))
      await kube.delete(refTo(object.metadata.name))
    await kube.delete({apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: 'web'})
  }
  const api = (what: string, use: (kube: KubeClient) => Promise<void>): void =>
    test(`${name}: ${what}`, withKube(use))

  api('what is absent reads as undefined and lists as nothing, of unknown kinds too', async (kube) => {
    expect(await kube.get(refTo('absent'))).toBeUndefined()
    expect(await kube.get({...refTo('a'), kind: 'Unheard'})).toBeUndefined()
    expect(await kube.get({apiVersion: 'unheard.dev/v1', kind: 'Thing', name: 'a'})).toBeUndefined()
    expect(await kube.list({apiVersion: 'unheard.dev/v1', kind: 'Thing'})).toEqual([])
  })

  api('what is applied can be read, with a uid that stays', async (kube) => {
    await kube.apply([configMap('a', {key: 'one'})])
    const first = await kube.get(refTo('a'))
    expect(first).toMatchObject({apiVersion: 'v1', kind: 'ConfigMap', data: {key: 'one'}})
    await kube.apply([configMap('a', {key: 'two'})])
    const second = await kube.get(refTo('a'))
    expect(second).toMatchObject({data: {key: 'two'}})
    expect(first?.metadata.uid).toBeTruthy()
    expect(second?.metadata.uid).toBe(first?.metadata.uid)
  })

  api('what was applied and is no longer asked for goes; what others put there stays', async (kube) => {
    await kube.apply([configMap('a', {mine: '1', old: '2'})])
    await kube.patch(refTo('a'), {data: {theirs: '3'}})
    await kube.apply([configMap('a', {mine: '1'})])
    expect((await kube.get(refTo('a')))?.['data']).toEqual({mine: '1', theirs: '3'})
  })

  api('a difference is what is absent or would change; after an apply there is none', async (kube) => {
    const objects = [configMap('a', {key: 'one'}), configMap('b', {key: 'one'}), deployment(1)]
    expect((await kube.diff(objects)).map((ref) => ref.name)).toEqual(['a', 'b', 'web'])
    await kube.apply(objects)
    expect(await kube.diff(objects)).toEqual([])
    const changed = [configMap('a', {key: 'one'}), configMap('b', {key: 'two'}), deployment(2)]
    expect(await kube.diff(changed)).toEqual([
      refTo('b'),
      {apiVersion: 'apps/v1', kind: 'Deployment', namespace: NAMESPACE, name: 'web'},
    ])
    expect((await kube.get(refTo('b')))?.['data']).toEqual({key: 'one'})
  })

  api('what others added is no difference; what they changed or took away is', async (kube) => {
    const wanted = configMap('a', {one: '1', two: '2'})
    await kube.apply([wanted])
    await kube.patch(refTo('a'), {data: {three: '3'}, metadata: {labels: {by: 'others'}}})
    expect(await kube.diff([wanted])).toEqual([])
    await kube.patch(refTo('a'), {data: {one: null}})
    expect(await kube.diff([wanted])).toEqual([refTo('a')])
  })

  api('text of a Secret is kept as data and is no difference afterwards', async (kube) => {
    const secret: KubeObject = {
      apiVersion: 'v1',
      kind: 'Secret',
      type: 'Opaque',
      metadata: {name: 'text', namespace: NAMESPACE},
      stringData: {word: 'hello'},
    }
    await kube.apply([secret])
    const ref = {apiVersion: 'v1', kind: 'Secret', namespace: NAMESPACE, name: 'text'}
    expect(await kube.get(ref)).toMatchObject({data: {word: 'aGVsbG8='}})
    expect(await kube.diff([secret])).toEqual([])
    await kube.delete(ref)
  })

  api('lists go by namespace and by label', async (kube) => {
    await kube.apply([
      configMap('a', {}, {team: 'red'}),
      configMap('b', {}, {team: 'blue'}),
      configMap('c', {}),
    ])
    const names = async (labelSelector?: string): Promise<readonly string[]> => {
      const query = {apiVersion: 'v1', kind: 'ConfigMap', namespace: NAMESPACE}
      const found = await kube.list(labelSelector === undefined ? query : {...query, labelSelector})
      expect(found.every((object) => object.kind === 'ConfigMap' && object.apiVersion === 'v1')).toBe(true)
      return found.map((object) => object.metadata.name).filter((item) => item.length === 1)
    }
    expect(await names()).toEqual(['a', 'b', 'c'])
    expect(await names('team=red')).toEqual(['a'])
    expect(await names('team')).toEqual(['a', 'b'])
    expect(await names('team!=red')).toEqual(['b', 'c'])
    expect(await names('!team')).toEqual(['c'])
    const everywhere = await kube.list({apiVersion: 'v1', kind: 'Namespace'})
    expect(everywhere.map((object) => object.metadata.name)).toContain(NAMESPACE)
  })

  api('a merge patch changes, adds and takes away', async (kube) => {
    await kube.apply([configMap('a', {keep: '1', change: '2', drop: '3'})])
    await kube.patch(refTo('a'), {data: {change: 'x', drop: null, add: '4'}})
    expect((await kube.get(refTo('a')))?.['data']).toEqual({keep: '1', change: 'x', add: '4'})
  })

  api('what is removed is gone; removing what is absent is fine', async (kube) => {
    await kube.apply([configMap('a', {})])
    await kube.delete(refTo('a'))
    expect(await kube.get(refTo('a'))).toBeUndefined()
    await kube.delete(refTo('a'))
    await kube.delete({...refTo('a'), kind: 'Unheard'})
  })

  test.for([
    ['an unknown kind', {apiVersion: 'unheard.dev/v1', kind: 'Thing', metadata: {name: 'a'}}],
    ['a name that is not valid', configMap('Not_Valid', {})],
    ['a namespace that is not there', {...configMap('a', {}), metadata: {name: 'a', namespace: 'absent'}}],
  ] as const)(`${name}: %s is refused`, async ([, object], context) => {
    const kube = await make(context)
    await kube.apply([namespace])
    await expect(kube.apply([object])).rejects.toMatchObject({code: 'API_REJECTED'})
    await expect(kube.apply([object])).rejects.toBeInstanceOf(KubernetesError)
    expect(await kube.diff([object])).toHaveLength(1)
  })

  api('a patch of what is absent is refused', async (kube) => {
    await expect(kube.patch(refTo('absent'), {data: {}})).rejects.toMatchObject({code: 'API_REJECTED'})
  })

  api('any status is an answer to a fetch or a post', async (kube) => {
    expect(await kube.fetch('/readyz')).toEqual({status: 200, body: 'ok'})
    expect((await kube.fetch('/nothing/here')).status).toBe(404)
    expect(JSON.parse((await kube.fetch('/version')).body)).toHaveProperty('gitVersion')
    const path = `/api/v1/namespaces/${NAMESPACE}/configmaps`
    const body = JSON.stringify(configMap('posted', {by: 'post'}))
    expect((await kube.post(path, body)).status).toBe(201)
    expect((await kube.post(path, body)).status).toBe(409)
    expect(await kube.get(refTo('posted'))).toMatchObject({data: {by: 'post'}})
  })
}
