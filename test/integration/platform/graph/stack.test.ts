import {afterAll, expect, test, type TestContext} from 'vitest'
import {ConfigError} from '../../../../src/base/errors.ts'
import type {KubeClient, KubeObject} from '../../../../src/kubernetes/types.ts'
import {PlatformError} from '../../../../src/platform/errors.ts'
import {applyStack} from '../../../../src/platform/graph/apply.ts'
import {destroyStack} from '../../../../src/platform/graph/destroy.ts'
import {stackRevisions} from '../../../../src/platform/graph/history.ts'
import {planStack, type StackPlan} from '../../../../src/platform/graph/plan.ts'
import {prepareStack} from '../../../../src/platform/graph/prepare.ts'
import {driftOfStack, rollbackStack} from '../../../../src/platform/graph/rollback.ts'
import {loadStack} from '../../../../src/platform/graph/stack-load.ts'
import {statusOfStack} from '../../../../src/platform/graph/status.ts'
import {
  deployment,
  playControllers,
  stackFolder,
  stackTools,
  type RecordedTools,
  type StackFolder,
} from '../../../support/stack-scene.ts'
import {needBundle, startApiServer} from '../../../support/with-api-server.ts'

const CANARY = 'canary-7f3a9c51e2'

async function start(context: TestContext) {
  const server = await startApiServer(await needBundle(context))
  const ended = new AbortController()
  const ready: string[] = []
  const playing = playControllers(server.kube, ended.signal, (name) => ready.push(name))
  return {
    kube: server.kube,
    /** Names of Deployments and Jobs in the order in which they became ready. */
    ready,
    stop: async () => {
      ended.abort()
      await playing
      await server[Symbol.asyncDispose]()
    },
  }
}
type Started = Awaited<ReturnType<typeof start>>
let started: Promise<Started> | undefined
const served = (context: TestContext): Promise<Started> => (started ??= start(context))
afterAll(async () => (await started)?.stop())

interface Scene extends AsyncDisposable {
  readonly kube: KubeClient
  readonly folder: StackFolder
  readonly tools: RecordedTools
  /** Stack of this test, in a namespace of its own that is there before. */
  readonly name: string
  readonly ready: readonly string[]
  readonly file: (services: object, more?: object) => string
  readonly get: (kind: string, name: string, apiVersion?: string) => Promise<KubeObject | undefined>
}

let number = 0

async function scene(context: TestContext): Promise<Scene> {
  const {kube, ready} = await served(context)
  number += 1
  const name = `shop${number}`
  await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})
  const folder = await stackFolder()
  return {
    kube,
    folder,
    name,
    ready,
    tools: stackTools(kube, folder.path),
    file: (services, more = {}) =>
      JSON.stringify({
        apiVersion: 'clouder.dev/v1alpha1',
        kind: 'Stack',
        metadata: {name},
        services,
        ...more,
      }),
    get: (kind, object, apiVersion = 'v1') => kube.get({apiVersion, kind, name: object, namespace: name}),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  }
}

const prepare = (text: string, tools: RecordedTools, environment?: string) =>
  prepareStack(loadStack({text, file: 'stack.yaml', environment}), tools)
const apply = async (text: string, tools: RecordedTools, environment?: string) =>
  applyStack(await prepare(text, tools, environment), tools)
const plan = async (text: string, tools: RecordedTools): Promise<StackPlan> =>
  planStack(await prepare(text, tools), tools)

async function errorOf(work: Promise<unknown>): Promise<PlatformError | ConfigError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof PlatformError || error instanceof ConfigError) return error
  throw error instanceof Error ? error : new Error('it did not fail')
}

const actions = ({services}: StackPlan): readonly string[] =>
  services.map(({service, action}) => `${service} ${action}`)
const configMap = (name: string, data: Readonly<Record<string, unknown>>): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name},
  data,
})

test('services are applied in the order of their needs, outputs are passed on, and a second apply does nothing', async (context) => {
  await using given = await scene(context)
  const {folder, tools, name, file, get, ready} = given
  await folder.write('db.yaml', deployment('db'), {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {name: 'db'},
    spec: {selector: {app: 'db'}, ports: [{port: 5432}]},
  })
  await folder.write(
    'iam.yaml',
    deployment('iam'),
    configMap('iam', {host: {$output: {service: 'db', name: 'ip'}}}),
  )
  await folder.write('web.yaml', deployment('web'))
  const text = file({
    web: {source: {manifests: 'web.yaml'}, needs: ['iam']},
    iam: {source: {manifests: 'iam.yaml'}},
    db: {
      source: {manifests: 'db.yaml'},
      outputs: {ip: {from: {apiVersion: 'v1', kind: 'Service', name: 'db', jsonPath: '{.spec.clusterIP}'}}},
    },
  })
  const planned = await plan(text, tools)
  expect(actions(planned)).toEqual(['db install', 'iam install', 'web install'])
  expect(planned.services[1]?.waitsFor).toEqual(['output ip of service db'])
  const before = ready.length
  const result = await apply(text, tools)
  expect(result.services.map(({service, outcome}) => [service, outcome])).toEqual(
    expect.arrayContaining([
      ['db', 'deployed'],
      ['iam', 'deployed'],
      ['web', 'deployed'],
    ]),
  )
  expect(ready.slice(before)).toEqual(['db', 'iam', 'web'])
  const ip = (await get('Service', 'db'))?.['spec'] as {clusterIP: string}
  expect((await get('ConfigMap', 'iam'))?.['data']).toEqual({host: ip.clusterIP})
  expect(actions(await plan(text, tools))).toEqual(['db none', 'iam none', 'web none'])
  const again = await apply(text, tools)
  expect(again.revision).toBe(result.revision)
  expect(again.services.every(({outcome}) => outcome === 'unchanged')).toBe(true)
  const status = await statusOfStack(tools.kube, name)
  expect(status).toMatchObject({isReady: true, state: 'deployed', revision: 1})
  expect(status.services.map(({service}) => service)).toEqual(['db', 'iam', 'web'])
})

test('a namespace that is not there is made with the stack', async (context) => {
  await using given = await scene(context)
  const {folder, tools, name, file, kube} = given
  await folder.write('a.yaml', configMap('a', {x: '1'}))
  const text = file({a: {source: {manifests: 'a.yaml'}, namespace: `${name}-new`}})
  expect((await plan(text, tools)).namespaces.map(({ref}) => ref.name)).toEqual([`${name}-new`])
  await apply(text, tools)
  expect(
    await kube.get({apiVersion: 'v1', kind: 'ConfigMap', namespace: `${name}-new`, name: 'a'}),
  ).toBeDefined()
  expect((await plan(text, tools)).hasChanges).toBe(false)
})

test('a failed gate stops its branch only, and the service is rolled back', async (context) => {
  await using given = await scene(context)
  const {folder, tools, name, file, get, kube} = given
  const services = {
    a: {source: {manifests: 'a.yaml'}, gate: {ready: {timeoutSeconds: 3}}},
    b: {source: {manifests: 'b.yaml'}, needs: ['a']},
    c: {source: {manifests: 'c.yaml'}},
    d: {source: {manifests: 'd.yaml'}, needs: ['c']},
  }
  for (const service of Object.keys(services)) await folder.write(`${service}.yaml`, deployment(service))
  await apply(file(services), tools)
  await folder.write('a.yaml', deployment('a', 'registry.example.com/a:bad'))
  for (const service of ['b', 'd']) {
    await folder.write(`${service}.yaml`, deployment(service, `registry.example.com/${service}:2`))
  }
  const error = await errorOf(apply(file(services), tools))
  expect(error.code).toBe('STACK_FAILED')
  expect(error.message).toBe(`stack ${name}: a failed; not begun: b (needs a)`)
  expect(error.problems[0]?.problem).toContain('rolled back')
  const image = async (service: string) =>
    JSON.stringify(await get('Deployment', service, 'apps/v1')).match(/example\.com\/\w+:(\w+)/)?.[1]
  expect([await image('a'), await image('b'), await image('c'), await image('d')]).toEqual([
    '1',
    '1',
    '1',
    '2',
  ])
  const status = await statusOfStack(kube, name)
  expect(status.state).toBe('failed')
  expect(status.services.map(({service, state}) => `${service} ${state}`).toSorted()).toEqual([
    'a failed',
    'b skipped',
    'c deployed',
    'd deployed',
  ])
  // What was rolled back, or never begun, is no drift.
  expect((await driftOfStack(name, tools)).hasChanges).toBe(false)
  await folder.write('a.yaml', deployment('a', 'registry.example.com/a:3'))
  const result = await apply(file(services), tools)
  expect(result.revision).toBe(3)
  expect([await image('a'), await image('b')]).toEqual(['3', '2'])
})

test('missing Secrets, keys and outputs are refused with their paths, before anything is changed', async (context) => {
  await using given = await scene(context)
  const {folder, tools, file, get, kube, name} = given
  await kube.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'there', namespace: name},
    stringData: {a: 'x'},
  })
  await folder.write('a.yaml', configMap('a', {x: '1'}))
  await folder.write('b.yaml', {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'b'},
    stringData: {
      one: {$secret: {name: 'there', key: 'b'}},
      two: {$secret: {name: 'gone', key: 'a'}},
      three: {$secret: {name: 'there', key: 'a'}},
    },
  })
  const services = {a: {source: {manifests: 'a.yaml'}}, b: {source: {manifests: 'b.yaml'}, needs: ['a']}}
  const error = await errorOf(apply(file(services), tools))
  expect(error.code).toBe('REFERENCE_MISSING')
  expect(error.problems.map(({path, problem}) => `${path} ${problem}`)).toEqual([
    `services.b.source["Secret/b"].stringData.one Secret ${name}/there key b does not exist`,
    `services.b.source["Secret/b"].stringData.two Secret ${name}/gone key a does not exist`,
  ])
  await folder.write('b.yaml', configMap('b', {x: {$output: {service: 'a', name: 'url'}}}))
  const missing = await errorOf(apply(file(services), tools))
  expect(missing.problems.map(({path, problem}) => `${path} ${problem}`)).toEqual([
    'services.b.source["ConfigMap/b"].data.x.$output.name is not an output of service a, which has none',
  ])
  await folder.write('b.yaml', configMap('b', {x: {$secret: {name: 'there', key: 'a'}}}))
  const exposed = await errorOf(apply(file(services), tools))
  expect(exposed.problems[0]?.problem).toContain('secretKeyRef')
  expect(await get('ConfigMap', 'a')).toBeUndefined()
  expect(await stackRevisions(kube, name)).toEqual([])
})

test('values of Secrets are in no plan, event, error or revision', async (context) => {
  await using given = await scene(context)
  const {folder, tools, file, get, kube, name} = given
  await kube.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'login', namespace: name},
    stringData: {password: CANARY},
  })
  await folder.write('db.yaml', deployment('db'), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'conn'},
    stringData: {
      url: {
        $format: {
          template: 'postgres://app:{p}@db/app',
          with: {p: {$secret: {name: 'login', key: 'password'}}},
        },
      },
      literal: `${CANARY}-written-out`,
    },
  })
  await folder.write('iam.yaml', deployment('iam', 'registry.example.com/iam:bad'), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'iam'},
    stringData: {url: {$output: {service: 'db', name: 'url'}}},
  })
  const services = {
    db: {
      source: {manifests: 'db.yaml'},
      outputs: {url: {from: {apiVersion: 'v1', kind: 'Secret', name: 'conn', jsonPath: '{.data.url}'}}},
    },
    iam: {source: {manifests: 'iam.yaml'}, gate: {ready: {timeoutSeconds: 2}}},
  }
  const shown: unknown[] = [await plan(file(services), tools)]
  const error = await errorOf(apply(file(services), tools))
  expect(error.code).toBe('STACK_FAILED')
  shown.push({message: error.message, problems: error.problems, cause: String(error.cause)}, tools.log())
  const secret = (await get('Secret', 'iam'))?.['data'] as {url: string}
  expect(Buffer.from(secret.url, 'base64').toString()).toBe(`postgres://app:${CANARY}@db/app`)
  // A rotated value is a change of a key, and shown as no more.
  await kube.patch(
    {apiVersion: 'v1', kind: 'Secret', name: 'login', namespace: name},
    {data: {password: Buffer.from(`${CANARY}-2`).toString('base64')}},
  )
  const rotated = await plan(file(services), tools)
  expect(
    rotated.services[0]?.changes.map(({ref, fields}) => [ref.name, fields.map(({path}) => path)]),
  ).toEqual([['conn', ['data.url']]])
  shown.push(
    rotated,
    await stackRevisions(kube, name),
    await statusOfStack(kube, name),
    await driftOfStack(name, tools),
  )
  const kept = await kube.list({apiVersion: 'v1', kind: 'Secret', namespace: 'clouder-system'})
  const {gunzipSync} = await import('node:zlib')
  const texts = kept.map(({data}) =>
    Object.values(data as Record<string, string>)
      .map((value) => gunzipSync(Buffer.from(value, 'base64')).toString('utf8'))
      .join('\n'),
  )
  expect(texts.length).toBeGreaterThan(3)
  const all = [
    ...shown.map((value) => (typeof value === 'string' ? value : JSON.stringify(value))),
    ...texts,
  ].join('\n')
  expect(all).not.toContain(CANARY)
  expect(all).not.toContain(Buffer.from(CANARY).toString('base64').slice(0, 14))
})

test('hooks run around a service, and one that fails stops it before anything is applied', async (context) => {
  await using given = await scene(context)
  const {folder, tools, file, get, ready} = given
  await folder.write('a.yaml', deployment('a'))
  const job = (image: string) => ({image: `registry.example.com/${image}`, command: ['true']})
  const before = ready.length
  await apply(
    file({
      a: {
        source: {manifests: 'a.yaml'},
        hooks: {before: job('migrate:1'), after: job('check:1')},
        gate: {job: job('gate:1')},
      },
    }),
    tools,
  )
  const order = ready.slice(before).map((name) => name.replace(/^shop\d+-a-/, '').replace(/-[0-9a-f]+$/, ''))
  expect(order).toEqual(['before', 'a', 'gate', 'after'])
  await folder.write('a.yaml', deployment('a', 'registry.example.com/a:2'))
  const error = await errorOf(
    apply(file({a: {source: {manifests: 'a.yaml'}, hooks: {before: job('migrate:bad')}}}), tools),
  )
  expect(error.problems[0]?.problem).toContain('it always fails')
  expect(JSON.stringify(await get('Deployment', 'a', 'apps/v1'))).not.toContain('a:2')
})

test('drift is shown with who made it, and the next apply corrects it', async (context) => {
  await using given = await scene(context)
  const {folder, tools, file, get, kube, name} = given
  await folder.write('a.yaml', configMap('a', {x: '1', y: '2'}), deployment('a'))
  const text = file({a: {source: {manifests: 'a.yaml'}}})
  await apply(text, tools)
  await kube.patch({apiVersion: 'v1', kind: 'ConfigMap', name: 'a', namespace: name}, {data: {x: 'edited'}})
  const drift = await driftOfStack(name, tools)
  expect(drift.services[0]?.changes).toMatchObject([
    {action: 'update', fields: [{path: 'data.x', before: 'edited', after: '1'}]},
  ])
  expect(drift.services[0]?.changes[0]?.driftedBy).toBeDefined()
  await apply(text, tools)
  expect((await get('ConfigMap', 'a'))?.['data']).toEqual({x: '1', y: '2'})
  expect((await driftOfStack(name, tools)).hasChanges).toBe(false)
})

test('a rollback brings back an earlier revision whole, without the files', async (context) => {
  await using given = await scene(context)
  const {folder, tools, file, get, kube, name} = given
  await folder.write('a.yaml', configMap('a', {x: '1'}), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'a'},
    stringData: {p: 'first-value'},
  })
  await folder.write('b.yaml', deployment('b'))
  await apply(
    file({a: {source: {manifests: 'a.yaml'}}, b: {source: {manifests: 'b.yaml'}, needs: ['a']}}),
    tools,
  )
  await folder.write('a.yaml', configMap('a', {x: '2'}), {
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'a'},
    stringData: {p: 'second-value'},
  })
  await folder.write('c.yaml', configMap('c', {x: '1'}))
  const second = await apply(
    file({a: {source: {manifests: 'a.yaml'}}, c: {source: {manifests: 'c.yaml'}}}),
    tools,
  )
  expect(second.services.filter(({outcome}) => outcome === 'removed').map(({service}) => service)).toEqual([
    'b',
  ])
  expect(await get('Deployment', 'b', 'apps/v1')).toBeUndefined()
  await using elsewhere = await stackFolder()
  const other = stackTools(kube, elsewhere.path)
  const back = await rollbackStack(name, 1, other)
  expect(back.revision).toBe(3)
  expect((await get('ConfigMap', 'a'))?.['data']).toEqual({x: '1'})
  expect(await get('Deployment', 'b', 'apps/v1')).toBeDefined()
  expect(await get('ConfigMap', 'c')).toBeUndefined()
  // Values that were written out are not kept: the Secret stays as it is.
  expect((await get('Secret', 'a'))?.['data']).toEqual({p: Buffer.from('second-value').toString('base64')})
  const revisions = await stackRevisions(kube, name)
  expect(revisions.map(({revision, state, rollbackTo}) => [revision, state, rollbackTo])).toEqual([
    [3, 'deployed', 1],
    [2, 'superseded', undefined],
    [1, 'superseded', undefined],
  ])
  expect((await errorOf(rollbackStack(name, 9, other))).code).toBe('STACK_REVISION_UNKNOWN')
  expect((await errorOf(rollbackStack('nothing', 1, other))).code).toBe('STACK_UNKNOWN')
})

test('a destroy removes services after those that need them, and everything that was kept', async (context) => {
  await using given = await scene(context)
  const {folder, tools, file, get, kube, name} = given
  for (const service of ['a', 'b', 'c']) await folder.write(`${service}.yaml`, configMap(service, {x: '1'}))
  await kube.create({apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: 'foreign', namespace: name}})
  await apply(
    file({
      a: {source: {manifests: 'a.yaml'}},
      b: {source: {manifests: 'b.yaml'}, needs: ['a']},
      c: {source: {manifests: 'c.yaml'}, needs: ['b']},
    }),
    tools,
  )
  expect((await destroyStack(name, tools)).removed).toEqual(['c', 'b', 'a'])
  expect(await get('ConfigMap', 'a')).toBeUndefined()
  expect(await get('ConfigMap', 'foreign')).toBeDefined()
  const left = await kube.list({apiVersion: 'v1', kind: 'Secret', namespace: 'clouder-system'})
  expect(left.map(({metadata}) => metadata.name).filter((kept) => kept.includes(name))).toEqual([])
  expect((await errorOf(destroyStack(name, tools))).code).toBe('STACK_UNKNOWN')
})

test('the cluster must have what services need, or nothing is changed', async (context) => {
  await using given = await scene(context)
  const {folder, file, get, kube, name} = given
  const tools = stackTools(kube, folder.path, {resolveName: () => Promise.reject(new Error('no such name'))})
  await folder.write('a.yaml', configMap('a', {x: '1'}))
  const preflight = {
    storageClass: 'fast',
    rwx: 'shared',
    loadBalancer: true,
    dns: ['shop.example.com'],
    nodeLabels: {gpu: 'yes'},
    capacity: {cpu: '2'},
  }
  const error = await errorOf(apply(file({a: {source: {manifests: 'a.yaml'}, preflight}}), tools))
  expect(error.code).toBe('STACK_PREFLIGHT_FAILED')
  expect(error.problems.map(({path}) => path.replace('services.a.preflight.', '')).toSorted()).toEqual([
    'capacity.cpu',
    'dns[0]',
    'loadBalancer',
    'nodeLabels',
    'rwx',
    'storageClass',
  ])
  expect(await get('ConfigMap', 'a')).toBeUndefined()
  expect(await stackRevisions(kube, name)).toEqual([])
})
