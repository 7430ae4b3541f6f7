import {afterAll, expect, test, type TestContext as VitestContext} from 'vitest'
import {addonReleases} from '../../../src/bootstrap/phases/addon-releases.ts'
import {addonsPhase, bootstrapAddonsPhase} from '../../../src/bootstrap/phases/addons.ts'
import type {ClusterTools} from '../../../src/bootstrap/phases/context.ts'
import {catalogueFor} from '../../../src/bundle/catalogue.ts'
import type {Bundle} from '../../../src/bundle/types.ts'
import {installedReleases} from '../../../src/platform/release/history.ts'
import {DEFAULT_KUBERNETES_VERSION} from '../../../src/spec/cluster-spec.ts'
import {FakeHost} from '../../support/fake-host.ts'
import {phaseContext, plannedBundle, specOf, type TestContext} from '../../support/phase-context.ts'
import {needBundle, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

const {signal} = new AbortController()

/** Every image by its reference; none of them is there. */
const bundle: Bundle = {
  ...plannedBundle,
  lock: {
    ...plannedBundle.lock,
    images: catalogueFor(DEFAULT_KUBERNETES_VERSION).images.map(({name, version, reference}) => ({
      ...{kind: 'image', name, version, reference, source: 'test', blobs: [], sizeBytes: 1},
      manifestDigest: `sha256:${'0'.repeat(64)}`,
    })),
  },
}

let started: Promise<ApiServer> | undefined
async function served(context: VitestContext): Promise<ApiServer> {
  const found = await needBundle(context)
  return await (started ??= startApiServer(found, {controllerManager: true}))
}

afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

const contextOf = ({kube}: ApiServer, spec = 'addons: {profile: minimal}'): TestContext => ({
  ...phaseContext([new FakeHost({name: 'cp-1', machine: {role: 'control-plane'}})], specOf(spec)),
  bundles: () => bundle,
  kube: () => Promise.resolve(kube),
})

const toolsOf = ({kube}: ApiServer): ClusterTools => ({
  kube: () => Promise.resolve(kube),
  hostFor: () => {
    throw new Error('no host is needed')
  },
  writeLocal: () => Promise.resolve(),
  hideSecret: () => undefined,
  holder: 'test',
  now: () => Date.now(),
})

async function plan(context: TestContext) {
  const phases = [bootstrapAddonsPhase, addonsPhase]
  return (await Promise.all(phases.map((phase) => phase.plan(context, signal)))).flat()
}

/** The reasons of the steps that ran. */
async function init(api: ApiServer, context: TestContext): Promise<readonly string[]> {
  const reasons: string[] = []
  for (const phase of [bootstrapAddonsPhase, addonsPhase])
    for (const step of await phase.plan(context, signal)) {
      if (step.on !== undefined) throw new Error('a step on no host was expected')
      reasons.push(`${step.summary}: ${step.reason}`)
      await step.run(toolsOf(api), {signal, progress: () => undefined})
    }
  return reasons
}

const flannel = {apiVersion: 'apps/v1', kind: 'DaemonSet', namespace: 'kube-flannel', name: 'kube-flannel-ds'}

test('objects that an earlier version applied are taken over, with the fields that it no longer has', async (context) => {
  const api = await served(context)
  const releases = await addonReleases(contextOf(api))
  const cni = releases.find(({id}) => id === 'cni')
  if (cni === undefined) throw new Error('no addon cni')
  const old = cni.objects.map((object) =>
    object.kind === flannel.kind
      ? {...object, metadata: {...object.metadata, annotations: {'example.org/old': 'yes'}}}
      : object,
  )
  await api.kube.apply(old, signal)
  expect((await api.kube.get(flannel))?.metadata.annotations).toMatchObject({'example.org/old': 'yes'})
  await init(api, contextOf(api))
  const live = await api.kube.get(flannel)
  expect(live?.metadata.annotations ?? {}).not.toHaveProperty('example.org/old')
  expect(JSON.stringify(live?.metadata['managedFields'])).not.toContain(
    '"manager":"clouder","operation":"Apply"',
  )
})

test('what is applied is what is planned: after an init the plan is empty, and a second one changes nothing', async (context) => {
  const api = await served(context)
  await init(api, contextOf(api))
  expect(await plan(contextOf(api))).toEqual([])
  const revisions = await installedReleases(api.kube, 'addon')
  expect(await init(api, contextOf(api))).toEqual([])
  expect(await installedReleases(api.kube, 'addon')).toEqual(revisions)
  expect(revisions.map(({name, state}) => `${name} ${state}`).toSorted()).toEqual([
    'checkpoint deployed',
    'cni deployed',
    'runtime-class deployed',
  ])
})

test('a manual change is what the plan names, and an init corrects it', async (context) => {
  const api = await served(context)
  await init(api, contextOf(api))
  await api.kube.patch(flannel, {spec: {updateStrategy: {type: 'OnDelete', rollingUpdate: null}}})
  const wanted = (await addonReleases(contextOf(api))).flatMap(({objects}) => objects)
  const config = wanted.find(
    ({kind, metadata}) => kind === 'ConfigMap' && metadata.name === 'kube-flannel-cfg',
  )
  await api.kube.patch(
    {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-flannel', name: 'kube-flannel-cfg'},
    {data: {'net-conf.json': '{}'}},
  )
  const [reason, ...others] = await init(api, contextOf(api))
  expect(others).toEqual([])
  expect(reason).toContain('install cni')
  expect(reason).toContain('update ConfigMap kube-flannel/kube-flannel-cfg')
  const ref = {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'kube-flannel', name: 'kube-flannel-cfg'}
  expect((await api.kube.get(ref))?.['data']).toEqual(config?.['data'])
  expect(await plan(contextOf(api))).toEqual([])
})

test('an addon that is not selected any longer is named, and stays', async (context) => {
  const api = await served(context)
  await init(api, contextOf(api))
  const without = contextOf(api, 'checkpoint: {enabled: false}, addons: {profile: minimal}')
  expect(await plan(without)).toEqual([])
  const [checkpoint, runtimeClass, ...others] = without.notes.toSorted()
  expect(others).toEqual([])
  expect(checkpoint).toMatch(
    /^addon checkpoint is installed.*clouder addon remove checkpoint --cluster demo$/,
  )
  expect(runtimeClass).toMatch(/^addon runtime-class is installed/)
  expect(await api.kube.get(flannel)).toBeDefined()
})

test('platform addons wait for the network that the user brings', async (context) => {
  const api = await served(context)
  const own = contextOf(api, 'network: {cni: none}')
  const [first] = await addonsPhase.plan(own, signal)
  if (first === undefined) return
  throw new Error(`nothing was to be planned without a node: ${first.summary}`)
})
