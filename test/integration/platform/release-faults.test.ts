import {spawn} from 'node:child_process'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {afterAll, expect, test} from 'vitest'
import {errorMessage} from '../../../src/base/errors.ts'
import {refOf} from '../../../src/kubernetes/refs.ts'
import type {KubeClient, KubeObject} from '../../../src/kubernetes/types.ts'
import {applyRelease} from '../../../src/platform/release/apply.ts'
import {revisionsOf} from '../../../src/platform/release/history.ts'
import {planRelease} from '../../../src/platform/release/plan.ts'
import {notReady, waitReady} from '../../../src/platform/release/readiness.ts'
import {removeRelease} from '../../../src/platform/release/remove.ts'
import {applyWithGate, rollbackTo} from '../../../src/platform/release/rollback.ts'
import type {Release} from '../../../src/platform/release/types.ts'
import {processRelease} from '../../support/release-process-objects.ts'
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
import {killedAt} from '../../support/killed-kube.ts'
import {asServiceAccount} from '../../support/service-account.ts'

const server = oneApiServer({controllerManager: true})
afterAll(() => server.stop())

const lockRef = (name: string) =>
  ({
    ...{apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', namespace: 'clouder-system'},
    name: `clouder-addon-${name}`,
  }) as const

/** The second version changes, adds, replaces and prunes. */
function versions(name: string): readonly [Release, Release] {
  const kind = `K${name.replaceAll('-', '')}`
  const thing: KubeObject = {
    apiVersion: 'release.example/v1',
    kind,
    metadata: {name: 'one', namespace: name},
    spec: {size: 1},
  }
  const first = [
    namespace(name),
    configMap(name, 'a', {v: '1'}),
    configMap(name, 'gone', {}),
    deployment(name, 'web'),
  ]
  const second = [
    namespace(name),
    configMap(name, 'a', {v: '2'}),
    deployment(name, 'web', {}, {app: 'other'}),
    service(name, 'web'),
    definition(kind),
    thing,
  ]
  const createdOnce = [secret(name, 'made', {p: 'x'})]
  return [release(name, first), release(name, second, {version: '2', createdOnce})]
}

test('killed at any write and run again, it finishes', {timeout: 600_000}, async (context) => {
  const {kube} = await server.of(context)
  let finished = false
  let writes = 0
  for (let at = 1; !finished; at += 1) {
    const name = `killed-${at}`
    const [first, second] = versions(name)
    await install(kube, first)
    const killed = killedAt(kube, at)
    finished = await applyRelease(killed, await planRelease(kube, second), applyOptions()).then(
      () => !killed.isDead(),
      (error: unknown) => {
        expect(errorMessage(error)).toContain('killed')
        return false
      },
    )
    // As it expires by itself, which another test waits for.
    await kube.delete(lockRef(name))
    expect(await install(kube, second), `killed at write ${at}`).toMatchObject({
      state: 'deployed',
      version: '2',
    })
    expect((await planRelease(kube, second)).changes, `killed at write ${at}`).toEqual([])
    expect(await kube.get(refOf(configMap(name, 'gone', {})))).toBeUndefined()
    expect(await kube.get(refOf(secret(name, 'made', {})))).toBeDefined()
    const states = (await revisionsOf(kube, second)).map(({state}) => state)
    expect(states.filter((state) => state === 'deployed')).toHaveLength(1)
    expect(states.at(-1)).toBe('deployed')
    writes = at
    expect(at).toBeLessThan(60)
  }
  expect(writes).toBeGreaterThan(12)
})

test('of two runs at once one is told who is at work', async (context) => {
  const {kube} = await server.of(context)
  const wanted = release('locked', [namespace('locked'), configMap('locked', 'a', {})])
  const plan = await planRelease(kube, wanted)
  let begun = (): void => undefined
  const beginning = new Promise<void>((resolve) => (begun = resolve))
  let end = (): void => undefined
  const ending = new Promise<void>((resolve) => (end = resolve))
  const slow = applyWithGate(kube, plan, {
    ...applyOptions('ops@laptop'),
    timeoutMs: 60_000,
    ready: async () => {
      begun()
      await ending
      return []
    },
  })
  await beginning
  const other = applyRelease(
    kube,
    await planRelease(kube, {...wanted, version: '2'}),
    applyOptions('another'),
  )
  await expect(other).rejects.toMatchObject({
    code: 'RELEASE_LOCKED',
    message: expect.stringContaining('ops@laptop') as string,
  })
  end()
  expect(await slow).toMatchObject({state: 'deployed', revision: 1})
  expect(await kube.get(lockRef('locked'))).toBeUndefined()
})

test('a run that waited for another one plans again', async (context) => {
  const {kube} = await server.of(context)
  const wanted = release('twice', [namespace('twice'), configMap('twice', 'a', {v: '1'})])
  const plan = await planRelease(kube, wanted)
  await install(kube, release('twice', [namespace('twice'), configMap('twice', 'b', {})], {version: '2'}))
  expect(await applyRelease(kube, plan, applyOptions())).toMatchObject({revision: 2, version: '1.0.0'})
  expect(await kube.get(refOf(configMap('twice', 'b', {})))).toBeUndefined()
  expect((await planRelease(kube, wanted)).changes).toEqual([])
})

test('a lock whose holder is dead expires', async (context) => {
  const {kube} = await server.of(context)
  const wanted = release('expired', [namespace('expired')])
  await install(kube, release('unrelated', [namespace('unrelated')]))
  await kube.create({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {name: lockRef('expired').name, namespace: 'clouder-system'},
    spec: {
      holderIdentity: 'dead',
      leaseDurationSeconds: 10,
      renewTime: new Date().toISOString().replace('Z', '000Z'),
    },
  })
  expect(await install(kube, wanted)).toMatchObject({state: 'deployed'})
})

const status = (kube: KubeClient, object: KubeObject, value: object): Promise<KubeObject> =>
  kube.patch(refOf(object), {status: value}, {subresource: 'status'})

test('a failed gate rolls back to the last revision, with what its Secrets held', async (context) => {
  const {kube} = await server.of(context)
  const objects = (v: string): readonly KubeObject[] => [
    namespace('gated'),
    configMap('gated', 'a', {v}),
    secret('gated', 'key', {password: `canary-${v}`}),
  ]
  const gate = {...applyOptions(), timeoutMs: 20_000, graceMs: 300, intervalMs: 50}
  const ok = {...gate, ready: () => Promise.resolve([])}
  const bad = {
    ...gate,
    ready: () =>
      Promise.resolve([
        {ref: refOf(configMap('gated', 'a', {})), problem: 'the image cannot be pulled', isStuck: true},
      ]),
  }
  const failing = applyWithGate(kube, await planRelease(kube, release('gated', objects('0'))), bad)
  await expect(failing).rejects.toMatchObject({code: 'RELEASE_NOT_READY'})
  // The first install stays, to be looked at.
  expect(await kube.get(refOf(configMap('gated', 'a', {})))).toMatchObject({data: {v: '0'}})
  const first = release('gated', objects('1'), {version: '1'})
  await applyWithGate(kube, await planRelease(kube, first), ok)
  const second = release('gated', [...objects('2'), configMap('gated', 'new', {})], {version: '2'})
  const broken = applyWithGate(kube, await planRelease(kube, second), bad)
  const error = await broken.catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({code: 'RELEASE_NOT_READY'})
  expect(errorMessage(error)).toContain('the image cannot be pulled')
  expect(errorMessage(error)).not.toContain('canary')
  expect(await kube.get(refOf(configMap('gated', 'a', {})))).toMatchObject({data: {v: '1'}})
  expect(await kube.get(refOf(configMap('gated', 'new', {})))).toBeUndefined()
  const password = Buffer.from('canary-1').toString('base64')
  expect(await kube.get(refOf(secret('gated', 'key', {})))).toMatchObject({data: {password}})
  const history = await revisionsOf(kube, first)
  expect(history.map(({state, version}) => `${version} ${state}`)).toEqual([
    '1.0.0 failed',
    '1 superseded',
    '2 failed',
    '1 deployed',
  ])
  expect((await planRelease(kube, first)).changes).toEqual([])
})

test('one goes back to any revision that is kept', async (context) => {
  const {kube} = await server.of(context)
  const version = (v: string): Release =>
    release('back', [namespace('back'), configMap('back', 'a', {v}), secret('back', 'key', {p: 'now'})], {
      version: v,
    })
  for (const v of ['1', '2', '3']) await install(kube, version(v))
  const made = await rollbackTo(kube, version('1'), 1, applyOptions())
  expect(made).toMatchObject({version: '1', revision: 4, state: 'deployed'})
  expect(await kube.get(refOf(configMap('back', 'a', {})))).toMatchObject({data: {v: '1'}})
  expect((await kube.get(refOf(secret('back', 'key', {}))))?.['data']).toEqual({
    p: Buffer.from('now').toString('base64'),
  })
  await expect(rollbackTo(kube, version('1'), 40, applyOptions())).rejects.toMatchObject({
    code: 'RELEASE_UNKNOWN',
  })
  for (let n = 5; n <= 15; n += 1) await install(kube, version(`1.${n}`))
  expect((await revisionsOf(kube, version('1'))).length).toBeLessThanOrEqual(10)
})

test('readiness is what controllers write, with the reason of a pod that fails', async (context) => {
  const {kube} = await server.of(context)
  const web = deployment('readiness', 'web', {replicas: 1})
  await install(kube, release('readiness', [namespace('readiness'), web]))
  const objects = [web, namespace('readiness'), configMap('readiness', 'none', {})]
  expect(await notReady(kube, objects)).toMatchObject([{ref: refOf(web), isStuck: false}])
  const pod = (name: string): KubeObject => ({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace: 'readiness', labels: {app: 'web'}},
    spec: {containers: [{name: 'main', image: 'registry.example/web:1'}]},
  })
  await kube.create(pod('of-test'))
  await status(kube, pod('of-test'), {
    phase: 'Pending',
    containerStatuses: [
      {
        ...{name: 'main', image: 'registry.example/web:1', imageID: '', ready: false, restartCount: 0},
        state: {waiting: {reason: 'ImagePullBackOff', message: 'not found'}},
      },
    ],
  })
  const [stuck] = await notReady(kube, [web])
  expect(stuck).toMatchObject({isStuck: true, problem: expect.stringContaining('ImagePullBackOff') as string})
  const startedMs = performance.now()
  const waiting = waitReady(kube, [web], {...applyOptions(), timeoutMs: 60_000, graceMs: 200, intervalMs: 50})
  await expect(waiting).rejects.toMatchObject({
    code: 'RELEASE_NOT_READY',
    message: expect.stringMatching(
      /Deployment readiness\/web.*ImagePullBackOff[^]*next: kubectl describe/,
    ) as string,
  })
  expect(performance.now() - startedMs).toBeLessThan(10_000)
})

test('an API service is registered when its workload is ready, not before', async (context) => {
  const {kube} = await server.of(context)
  const backend = deployment('aggregated', 'backend', {replicas: 1})
  const api: KubeObject = {
    apiVersion: 'apiregistration.k8s.io/v1',
    kind: 'APIService',
    metadata: {name: 'v1.aggregated.example'},
    spec: {
      ...{group: 'aggregated.example', version: 'v1', groupPriorityMinimum: 100, versionPriority: 100},
      service: {namespace: 'aggregated', name: 'backend'},
      insecureSkipTLSVerify: true,
    },
  }
  const wanted = release('aggregated', [api, namespace('aggregated'), backend])
  const seen: string[] = []
  const options = {...applyOptions(), progress: (text: string) => void seen.push(text)}
  const applied = applyRelease(kube, await planRelease(kube, wanted), options)
  await expect.poll(() => seen.join(' '), {timeout: 20_000}).toContain('waiting for')
  expect(await kube.get(refOf(api))).toBeUndefined()
  await kube.patch(refOf(backend), {spec: {replicas: 0}})
  await applied
  expect(await kube.get(refOf(api))).toBeDefined()
  await removeRelease(kube, wanted, applyOptions())
})

test(
  'a namespace that is being deleted is waited for, or told with what holds it',
  {timeout: 300_000},
  async (context) => {
    const {kube} = await server.of(context)
    await kube.create(namespace('ending'))
    const held = configMap('ending', 'held', {})
    await kube.create({...held, metadata: {...held.metadata, finalizers: ['clouder.dev/test']}})
    await kube.delete(refOf(namespace('ending')))
    const wanted = release('ending', [namespace('ending'), configMap('ending', 'a', {})])
    const options = {...applyOptions(), terminatingMs: 12_000}
    const failed = await applyRelease(kube, await planRelease(kube, wanted), options).catch(
      (error: unknown) => error,
    )
    expect(failed).toMatchObject({code: 'NAMESPACE_TERMINATING'})
    expect(errorMessage(failed)).toContain('clouder.dev/test')
    const again = install(kube, wanted)
    await kube.patch(refOf(held), {metadata: {finalizers: null}})
    expect(await again).toMatchObject({state: 'deployed'})
    expect(await kube.get(refOf(configMap('ending', 'a', {})))).toBeDefined()
  },
)

test('what does not go is named when a release is removed', async (context) => {
  const {kube} = await server.of(context)
  const held = configMap('hangs', 'held', {})
  const wanted = release('hangs', [
    namespace('hangs'),
    {...held, metadata: {...held.metadata, finalizers: ['clouder.dev/test']}},
  ])
  await install(kube, wanted)
  const failed = removeRelease(kube, wanted, {...applyOptions(), timeoutMs: 1_000})
  await expect(failed).rejects.toMatchObject({
    code: 'RELEASE_NOT_READY',
    message: expect.stringContaining('clouder.dev/test') as string,
  })
  await kube.patch(refOf(held), {metadata: {finalizers: null}})
  await removeRelease(kube, wanted, applyOptions())
  expect(await kube.get(refOf(namespace('hangs')))).toBeUndefined()
})

test('a process that is killed in the middle is followed by one that finishes', async (context) => {
  const {kube, kubeconfig, port} = await server.of(context)
  const dir = await mkdtemp(join(tmpdir(), 'clouder-release-'))
  try {
    await writeFile(join(dir, 'kubeconfig'), kubeconfig, {mode: 0o600})
    const program = join(import.meta.dirname, '../../support/release-process.ts')
    const child = spawn(process.execPath, [program, join(dir, 'kubeconfig'), String(port)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    const ended = new Promise<NodeJS.Signals | null>((resolve) =>
      child.once('exit', (_code, signal) => resolve(signal)),
    )
    await new Promise((resolve) => child.stdout.once('data', resolve))
    child.kill('SIGKILL')
    expect(await ended).toBe('SIGKILL')
    const left = await revisionsOf(kube, processRelease())
    expect(left).toMatchObject([{state: 'applying'}])
    const wanted = processRelease()
    expect(await install(kube, wanted)).toMatchObject({state: 'deployed', revision: 1})
    expect((await planRelease(kube, wanted)).changes).toEqual([])
  } finally {
    await rm(dir, {recursive: true, force: true})
  }
})

test('who may not do it is given the rule that is missing', async (context) => {
  const api = await server.of(context)
  const {kube} = api
  await install(kube, release('account', [namespace('account'), configMap('account', 'a', {v: '1'})]))
  const account = {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'weak', namespace: 'account'}}
  await kube.apply([account])
  const weak = await asServiceAccount(api, {namespace: 'account', name: 'weak'})
  const next = release('account', [namespace('account'), configMap('account', 'a', {v: '2'})])
  const planned = planRelease(weak, next)
  await expect(planned).rejects.toMatchObject({
    code: 'PERMISSION_MISSING',
    message: expect.stringMatching(/must contain:\n- apiGroups:\n[^]*verbs:\n/) as string,
  })
  const binding = (name: string, rules: readonly object[]): readonly KubeObject[] => [
    {apiVersion: 'rbac.authorization.k8s.io/v1', kind: 'ClusterRole', metadata: {name}, rules},
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'ClusterRoleBinding',
      metadata: {name},
      roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'ClusterRole', name},
      subjects: [{kind: 'ServiceAccount', name: 'weak', namespace: 'account'}],
    },
  ]
  await kube.apply(binding('weak-reads', [{apiGroups: [''], resources: ['*'], verbs: ['get', 'list']}]))
  const failed = await planRelease(weak, next).catch((error: unknown) => error)
  expect(failed).toMatchObject({code: 'PERMISSION_MISSING'})
  expect(errorMessage(failed)).toContain('Role of namespace account')
  expect(errorMessage(failed)).toMatch(/resources:\n\s+- configmaps\n\s+verbs:\n\s+- create\n\s+- patch/)
  const all = ['get', 'list', 'create', 'patch', 'update', 'delete']
  const core = {apiGroups: [''], resources: ['*'], verbs: all}
  await kube.apply(binding('weak-writes', [core]))
  const unlocked = install(weak, next)
  await expect(unlocked).rejects.toMatchObject({
    code: 'PERMISSION_MISSING',
    message: expect.stringContaining('- leases') as string,
  })
  await kube.apply(
    binding('weak-writes', [core, {apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: all}]),
  )
  expect(await install(weak, next)).toMatchObject({state: 'deployed'})
})
