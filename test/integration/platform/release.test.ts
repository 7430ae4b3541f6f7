import {afterAll, expect, test} from 'vitest'
import {refOf} from '../../../src/kubernetes/refs.ts'
import type {KubeObject} from '../../../src/kubernetes/types.ts'
import {applyRelease} from '../../../src/platform/release/apply.ts'
import {installedReleases, revisionsOf} from '../../../src/platform/release/history.ts'
import {inventoryRef} from '../../../src/platform/release/identity.ts'
import {planRelease} from '../../../src/platform/release/plan.ts'
import {removeRelease} from '../../../src/platform/release/remove.ts'
import {
  applyOptions,
  configMap,
  definition,
  deployment,
  install,
  namespace,
  oneApiServer,
  release,
  secret,
  service,
} from '../../support/release-scene.ts'

const server = oneApiServer({controllerManager: true})
afterAll(() => server.stop())

const web = (name: string): readonly KubeObject[] => [
  deployment(name, 'web'),
  service(name, 'web'),
  configMap(name, 'settings', {a: '1', b: '2'}),
  secret(name, 'key', {password: 'canary-password'}),
  namespace(name),
]

test('a release is created, planned as unchanged, and in the history', async (context) => {
  const {kube} = await server.of(context)
  const wanted = release('fresh', web('fresh'))
  const plan = await planRelease(kube, wanted)
  expect(plan.changes.map(({action}) => action)).toEqual(Array(5).fill('create'))
  const made = await applyRelease(kube, plan, applyOptions())
  expect(made).toMatchObject({revision: 1, state: 'deployed', version: '1.0.0'})
  const again = await planRelease(kube, wanted)
  expect(again).toMatchObject({changes: [], installed: {revision: 1}})
  expect(await applyRelease(kube, again, applyOptions())).toEqual(again.installed)
  expect((await installedReleases(kube, 'addon')).map(({name}) => name)).toContain('fresh')
  const newer = await planRelease(kube, {...wanted, version: '1.0.1'})
  expect(newer.changes).toEqual([
    {
      ref: inventoryRef(wanted),
      action: 'update',
      fields: [{path: 'version', before: '1.0.0', after: '1.0.1'}],
    },
  ])
  expect(await applyRelease(kube, newer, applyOptions())).toMatchObject({revision: 2})
  expect((await revisionsOf(kube, wanted)).map(({state}) => state)).toEqual(['superseded', 'deployed'])
})

test('without an API server everything is created', async () => {
  const {changes} = await planRelease(undefined, release('none', web('none')))
  expect(new Set(changes.map(({action}) => action))).toEqual(new Set(['create']))
})

test('what was edited in the cluster is shown with its editor, and corrected', async (context) => {
  const {kube} = await server.of(context)
  const wanted = release('edited', web('edited'))
  await install(kube, wanted)
  const [object] = wanted.objects
  if (object === undefined) throw new Error('no object')
  const edit = {spec: {replicas: 5}}
  await kube.patch(refOf(object), edit)
  const settings = refOf(configMap('edited', 'settings', {}))
  await kube.patch(settings, {data: {a: null, other: 'stays'}})
  const {changes} = await planRelease(kube, wanted)
  expect(changes).toMatchObject([
    {ref: refOf(object), action: 'update', fields: [{path: 'spec.replicas', before: 5, after: 2}]},
    {ref: settings, action: 'update', fields: [{path: 'data.a', before: undefined, after: '1'}]},
  ])
  for (const {driftedBy} of changes) expect(driftedBy).toMatch(/./)
  await install(kube, wanted)
  expect((await kube.get(settings))?.['data']).toEqual({a: '1', b: '2', other: 'stays'})
  expect((await planRelease(kube, wanted)).changes).toEqual([])
})

test('a field that is no longer in the release goes, and lists are compared by their keys', async (context) => {
  const {kube} = await server.of(context)
  await install(kube, release('fields', web('fields')))
  const next = release('fields', [
    deployment('fields', 'web', {
      template: {
        metadata: {labels: {app: 'web'}},
        spec: {
          containers: [
            {
              name: 'main',
              image: 'registry.example/web:2',
              ports: [{containerPort: 8080}],
              env: [{name: 'B', value: '3'}],
            },
          ],
        },
      },
    }),
    ...web('fields').slice(1),
  ])
  const {changes} = await planRelease(kube, next)
  const paths = changes[0]?.fields.map(({path, before, after}) => [path, before, after])
  const container = 'spec.template.spec.containers[name=main]'
  expect(paths).toContainEqual([`${container}.image`, 'registry.example/web:1', 'registry.example/web:2'])
  expect(paths).toContainEqual([`${container}.env[name=B].value`, '2', '3'])
  expect(paths).toContainEqual([`${container}.env[name=A]`, {name: 'A', value: '1'}, undefined])
  expect(changes[0]).not.toHaveProperty('driftedBy')
  await install(kube, next)
  expect((await planRelease(kube, next)).changes).toEqual([])
})

test('an object that left the release is pruned, and those of others are not', async (context) => {
  const {kube} = await server.of(context)
  const all = web('pruned')
  await install(kube, release('pruned', all))
  await kube.create(configMap('pruned', 'foreign', {}))
  const less = release(
    'pruned',
    all.filter(({kind}) => kind !== 'ConfigMap' && kind !== 'Service'),
  )
  const plan = await planRelease(kube, less)
  expect(plan.changes.map(({action, ref}) => `${action} ${ref.kind}`).toSorted()).toEqual([
    'delete ConfigMap',
    'delete Service',
  ])
  await applyRelease(kube, plan, applyOptions())
  expect(await kube.get(refOf(configMap('pruned', 'settings', {})))).toBeUndefined()
  expect(await kube.get(refOf(configMap('pruned', 'foreign', {})))).toBeDefined()
  expect((await planRelease(kube, less)).changes).toEqual([])
})

test('a field that cannot change replaces what holds no data, and is refused for the rest', async (context) => {
  const {kube} = await server.of(context)
  const claim = (storage: string, storageClassName: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'PersistentVolumeClaim',
    metadata: {name: 'data', namespace: 'fixed'},
    spec: {accessModes: ['ReadWriteOnce'], storageClassName, resources: {requests: {storage}}},
  })
  const objects = [namespace('fixed'), deployment('fixed', 'web')]
  await install(kube, release('fixed', [...objects, claim('1Gi', 'one')]))
  const before = await kube.get(refOf(deployment('fixed', 'web')))
  const other = deployment('fixed', 'web', {}, {app: 'other'})
  const next = release('fixed', [namespace('fixed'), other, claim('1Gi', 'one')])
  const plan = await planRelease(kube, next)
  expect(plan.changes).toMatchObject([{action: 'replace', ref: refOf(other)}])
  expect(plan.changes[0]?.fields).toContainEqual({
    path: 'spec.selector.matchLabels.app',
    before: 'web',
    after: 'other',
  })
  await applyRelease(kube, plan, applyOptions())
  const after = await kube.get(refOf(other))
  expect(after?.metadata.uid).not.toBe(before?.metadata.uid)
  const refused = planRelease(kube, release('fixed', [namespace('fixed'), other, claim('1Gi', 'two')]))
  await expect(refused).rejects.toMatchObject({
    code: 'FIELD_IMMUTABLE',
    message: expect.stringContaining('spec') as string,
  })
  const invalid = deployment('fixed', 'web', {replicas: -1}, {app: 'other'})
  const mistake = planRelease(kube, release('fixed', [namespace('fixed'), invalid, claim('1Gi', 'one')]))
  await expect(mistake).rejects.toMatchObject({code: 'API_REJECTED'})
})

test('definitions and their objects are applied together, and removed in the opposite order', async (context) => {
  const {kube} = await server.of(context)
  const thing: KubeObject = {
    apiVersion: 'release.example/v1',
    kind: 'Thing',
    metadata: {name: 'one', namespace: 'things'},
    spec: {size: 1},
  }
  const wanted = release('things', [thing, namespace('things'), definition('Thing')])
  await install(kube, wanted)
  expect(await kube.get(refOf(thing))).toMatchObject({spec: {size: 1}})
  expect((await planRelease(kube, wanted)).changes).toEqual([])
  await kube.create({...thing, metadata: {name: 'of-a-user', namespace: 'things'}})
  await removeRelease(kube, wanted, applyOptions())
  expect(await kube.get(refOf(definition('Thing')))).toBeUndefined()
  expect(await kube.get(refOf(namespace('things')))).toBeUndefined()
  expect(await kube.get(inventoryRef(wanted))).toBeUndefined()
  await expect(removeRelease(kube, wanted, applyOptions())).rejects.toMatchObject({code: 'RELEASE_UNKNOWN'})
})

test('a namespace that was there, or that others use, stays', async (context) => {
  const {kube} = await server.of(context)
  await kube.create(namespace('before'))
  const one = release('stays', [namespace('before'), namespace('shared'), configMap('before', 'a', {})])
  await install(kube, one)
  await kube.create(configMap('shared', 'of-others', {}))
  const two = release('stays-too', [namespace('shared'), configMap('shared', 'b', {})])
  await install(kube, two)
  expect((await planRelease(kube, two)).changes).toEqual([])
  await removeRelease(kube, one, applyOptions())
  expect(await kube.get(refOf(configMap('before', 'a', {})))).toBeUndefined()
  expect((await kube.get(refOf(namespace('before'))))?.metadata.deletionTimestamp).toBeUndefined()
  expect((await kube.get(refOf(namespace('shared'))))?.metadata.deletionTimestamp).toBeUndefined()
})

test('a namespace stays with a custom resource of others in it', async (context) => {
  const {kube} = await server.of(context)
  await install(kube, release('gadgets', [definition('Gadget')]))
  const one = release('holds', [namespace('holds'), configMap('holds', 'a', {})])
  await install(kube, one)
  const gadget: KubeObject = {
    apiVersion: 'release.example/v1',
    kind: 'Gadget',
    metadata: {name: 'of-a-user', namespace: 'holds'},
  }
  // A client learns of a kind a moment after its definition is served.
  await expect.poll(() => kube.create(gadget).catch(() => undefined), {timeout: 20_000}).toBeDefined()
  const seen: string[] = []
  await removeRelease(kube, one, {...applyOptions(), progress: (text) => void seen.push(text)})
  expect((await kube.get(refOf(gadget)))?.metadata.deletionTimestamp).toBeUndefined()
  expect(seen.join(' ')).toContain('Namespace holds stays: Gadget holds/of-a-user is in it')
})

test('what is created once is left alone, and goes with the release', async (context) => {
  const {kube} = await server.of(context)
  const wanted = release('once', [namespace('once')], {createdOnce: [secret('once', 'made', {p: 'first'})]})
  await install(kube, wanted)
  const changed = {...wanted, createdOnce: [secret('once', 'made', {p: 'second'})]}
  expect((await planRelease(kube, changed)).changes).toEqual([])
  await install(kube, {...changed, version: '2'})
  const ref = refOf(secret('once', 'made', {}))
  expect((await kube.get(ref))?.['data']).toEqual({p: Buffer.from('first').toString('base64')})
  await kube.delete(ref)
  expect((await planRelease(kube, changed)).changes).toMatchObject([{ref, action: 'create'}])
  await install(kube, changed)
  await removeRelease(kube, wanted, applyOptions())
  expect(await kube.get(ref)).toBeUndefined()
})

test('objects of another release, and of Helm, are refused', async (context) => {
  const {kube} = await server.of(context)
  await install(kube, release('owner', [namespace('owned'), configMap('owned', 'a', {})]))
  const taken = planRelease(kube, release('thief', [configMap('owned', 'a', {})]))
  await expect(taken).rejects.toMatchObject({
    code: 'OBJECT_OWNED_BY_OTHER',
    message: expect.stringContaining('addon owner') as string,
  })
  const chart = configMap('owned', 'chart', {})
  await kube.create({
    ...chart,
    metadata: {
      ...chart.metadata,
      labels: {'app.kubernetes.io/managed-by': 'Helm'},
      annotations: {'meta.helm.sh/release-name': 'shop'},
    },
  })
  await expect(planRelease(kube, release('thief', [chart]))).rejects.toMatchObject({
    code: 'OBJECT_OWNED_BY_OTHER',
  })
})

test('an object of nobody known is refused until it is handed over', async (context) => {
  const {kube} = await server.of(context)
  const made = configMap('found', 'a', {own: '1'})
  await kube.create(namespace('found'))
  await kube.create(made)
  const wanted = release('finder', [namespace('found'), configMap('found', 'a', {})])
  await expect(planRelease(kube, wanted)).rejects.toMatchObject({
    code: 'OBJECT_OWNED_BY_OTHER',
    message: expect.stringContaining('was not created by clouder') as string,
  })
  await kube.patch(refOf(made), {metadata: {labels: {'clouder.dev/addon': 'finder'}}})
  await install(kube, wanted)
  expect((await planRelease(kube, wanted)).changes).toEqual([])
  await removeRelease(kube, wanted, applyOptions())
  expect(await kube.get(refOf(made))).toBeUndefined()
  expect(await kube.get(refOf(namespace('found'))), 'somebody else made it').toBeDefined()
})

test('what an older clouder applied is handed over, and its fields go with it', async (context) => {
  const {kube} = await server.of(context)
  await kube.apply([namespace('handed'), configMap('handed', 'a', {old: '1', both: '1'})])
  const wanted = release('handed', [namespace('handed'), configMap('handed', 'a', {both: '1'})])
  const {changes} = await planRelease(kube, wanted)
  expect(changes.flatMap(({fields}) => fields)).toContainEqual({
    path: 'data.old',
    before: '1',
    after: undefined,
  })
  await install(kube, wanted)
  expect((await kube.get(refOf(configMap('handed', 'a', {}))))?.['data']).toEqual({both: '1'})
  expect((await planRelease(kube, wanted)).changes).toEqual([])
})

test('the values of Secrets are in no plan and no revision', async (context) => {
  const {kube} = await server.of(context)
  const before = release('secret', [namespace('secret'), secret('secret', 'key', {password: 'canary-one'})])
  await install(kube, before)
  const after = release('secret', [namespace('secret'), secret('secret', 'key', {password: 'canary-two'})])
  const plan = await planRelease(kube, after)
  expect(plan.changes).toMatchObject([
    {fields: [{path: 'data.password', before: '(hidden)', after: '(hidden)'}]},
  ])
  await applyRelease(kube, plan, applyOptions())
  const kept = JSON.stringify([
    plan.changes,
    await revisionsOf(kube, after),
    await kube.get(inventoryRef(after)),
  ])
  for (const value of ['canary-one', 'canary-two'])
    for (const text of [value, Buffer.from(value).toString('base64')]) expect(kept).not.toContain(text)
})

test('300 objects that did not change are planned in a few requests', async (context) => {
  const {kube} = await server.of(context)
  const objects = Array.from({length: 100}, (_, index) => [
    deployment('many', `web-${index}`),
    service('many', `web-${index}`),
    configMap('many', `web-${index}`, {index: String(index)}),
  ]).flat()
  const wanted = release('many', [namespace('many'), ...objects])
  await install(kube, wanted)
  let dryRuns = 0
  const counting = Object.assign(Object.create(kube) as typeof kube, {
    list: kube.list.bind(kube),
    get: kube.get.bind(kube),
    dryRun: (object: KubeObject, manager: string) => {
      dryRuns += 1
      return kube.dryRun(object, manager)
    },
  })
  const startedMs = performance.now()
  expect((await planRelease(counting, wanted)).changes).toEqual([])
  const tookMs = performance.now() - startedMs
  expect(dryRuns).toBe(0)
  expect(tookMs).toBeLessThan(2_000)
})
