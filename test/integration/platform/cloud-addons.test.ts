import {afterAll, expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {manifestsOf} from '../../../src/bundle/contents.ts'
import {volumeSnapshotsAddon} from '../../../src/platform/addons/volume-snapshots/addon.ts'
import type {Addon} from '../../../src/platform/addons/addon.ts'
import type {KubeClient, KubeObject} from '../../../src/kubernetes/types.ts'
import {CLOUD_ADDONS, type CloudName, renderedIn} from '../../support/cloud-addons.ts'
import {needBundle, startApiServer} from '../../support/with-api-server.ts'

/** Kinds that an object of the bundle defines; the bundle may be older than the addon. */
const DEFINED_BY: Readonly<Record<string, string>> = {
  'snapshot.storage.k8s.io/v1': 'volume-snapshot-crds',
  'cert-manager.io/v1': 'cert-manager-crds',
}

async function start(context: TestContext) {
  const bundle = await needBundle(context)
  // As kubeadm runs it.
  const api = await startApiServer(bundle, {flags: ['--allow-privileged=true']})
  const present = new Set(bundle.lock.manifests.map(({name}) => name))
  for (const name of Object.values(DEFINED_BY))
    if (present.has(name)) await api.kube.apply(await manifestsOf(bundle, name))
  return {api, present}
}
let started: ReturnType<typeof start> | undefined
const served = (context: TestContext): ReturnType<typeof start> => (started ??= start(context))

afterAll(async () => {
  await (await started)?.api[Symbol.asyncDispose]()
})

const resourcesSchema = z.looseObject({
  resources: z.array(z.looseObject({name: z.string(), kind: z.string(), namespaced: z.boolean()})),
})

/** Where objects of a kind are created; undefined: the server does not know it. */
async function pathOf(
  kube: KubeClient,
  {apiVersion, kind, metadata}: KubeObject,
): Promise<string | undefined> {
  const group = apiVersion === 'v1' ? '/api/v1' : `/apis/${apiVersion}`
  const {status, body} = await kube.fetch(group)
  if (status === 404) return undefined
  const {resources} = resourcesSchema.parse(JSON.parse(body))
  const found = resources.find((each) => each.kind === kind && !each.name.includes('/'))
  if (found === undefined) return undefined
  return `${group}${found.namespaced ? `/namespaces/${metadata.namespace ?? 'default'}` : ''}/${found.name}`
}

/** What the server says against an object, unknown and repeated fields too; nothing is created. */
async function refusal(kube: KubeClient, object: KubeObject): Promise<string | undefined> {
  const path = await pathOf(kube, object)
  if (path === undefined) return 'the kind is unknown'
  const {status, body} = await kube.post(`${path}?dryRun=All&fieldValidation=Strict`, JSON.stringify(object))
  // One that is there was accepted before.
  return status < 300 || status === 409 ? undefined : body
}

/** Definitions first, so that objects of their kinds can be checked. */
async function refusals(
  kube: KubeClient,
  objects: readonly KubeObject[],
  present: ReadonlySet<string>,
): Promise<readonly string[]> {
  const definitions = objects.filter(({kind}) => kind === 'CustomResourceDefinition')
  const found: string[] = []
  for (const object of objects) {
    const needed = DEFINED_BY[object.apiVersion]
    if (needed !== undefined && !present.has(needed)) continue
    const problem = await refusal(kube, object)
    if (problem !== undefined) found.push(`${object.kind} ${object.metadata.name}: ${problem}`)
  }
  await kube.apply(definitions)
  return found
}

const cases = (['aws', 'azure'] as const).flatMap((cloud) =>
  CLOUD_ADDONS[cloud].map((addon): [string, CloudName, Addon] => [addon.id, cloud, addon]),
)

test.for(cases)(
  'an API server accepts every object of %s on %s, with no field that it does not know',
  {timeout: 180_000},
  async ([, cloud, addon], context) => {
    const {api, present} = await served(context)
    for (const cluster of [{}, {spec: 'controlPlane: {count: 3}'}])
      expect(await refusals(api.kube, renderedIn(cloud, addon, cluster), present)).toEqual([])
  },
)

test('the controller of snapshots is accepted too', {timeout: 180_000}, async (context) => {
  const {api, present} = await served(context)
  const objects = renderedIn('aws', volumeSnapshotsAddon).filter(
    ({kind}) => kind !== 'CustomResourceDefinition',
  )
  expect(await refusals(api.kube, objects, present)).toEqual([])
})

test('a field that does not exist is refused', {timeout: 180_000}, async (context) => {
  const {api} = await served(context)
  const [, , addon] = cases[0] ?? []
  const object =
    addon === undefined ? undefined : renderedIn('aws', addon).find(({kind}) => kind === 'DaemonSet')
  if (object === undefined) throw new Error('there is no DaemonSet')
  const wrong = {...object, spec: {...Object(object['spec']), colour: 'red'} as object}
  expect(await refusal(api.kube, wrong)).toContain('unknown field \\"spec.colour\\"')
})
