import {z} from 'zod'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {manifestsOf} from '../../../src/bundle/contents.ts'
import type {Bundle} from '../../../src/bundle/types.ts'
import type {KubeClient, KubeObject} from '../../../src/kubernetes/types.ts'
import type {Addon, ClusterFacts} from '../../../src/platform/addons/addon.ts'
import {waitFor} from '../../../src/base/waiting.ts'
import {ENTRIES} from '../../support/addon-entries.ts'
import {factsOf} from '../../support/addon-golden.ts'
import {needBundle, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

/** One API server for all entries: each has namespaces and names of its own. */
interface Started {
  readonly bundle: Bundle
  readonly api: ApiServer
}
let started: Promise<Started> | undefined
const served = (context: TestContext): Promise<Started> =>
  (started ??= (async () => {
    const bundle = await needBundle(context)
    return {bundle, api: await startApiServer(bundle, {controllerManager: true})}
  })())

afterAll(async () => {
  await (await started)?.api[Symbol.asyncDispose]()
})

const {signal} = new AbortController()

/** Objects of an entry as the API server gets them; those of kinds that the bundle has no definition of yet are left out. */
async function objectsOf(addon: Addon, parameters: unknown, bundle: Bundle): Promise<readonly KubeObject[]> {
  const manifests = new Map<string, readonly KubeObject[]>()
  for (const name of addon.manifests ?? [])
    manifests.set(
      name,
      bundle.lock.manifests.some((item) => item.name === name) ? await manifestsOf(bundle, name) : [],
    )
  const facts: ClusterFacts = {...factsOf(), manifests: (name) => manifests.get(name) ?? []}
  const objects = [...addon.objects(parameters, facts), ...addon.createdOnce(parameters, facts)]
  const defined = new Set(
    objects
      .filter(({kind}) => kind === 'CustomResourceDefinition')
      .map(({metadata}) => metadata.name.slice(metadata.name.indexOf('.') + 1)),
  )
  const group = ({apiVersion}: KubeObject): string => apiVersion.split('/')[0] ?? ''
  return objects.filter(
    (object) =>
      !group(object).includes('.') ||
      (group(object).endsWith('k8s.io') && !group(object).startsWith('gateway.')) ||
      defined.has(group(object)),
  )
}

const conditionsSchema = z.looseObject({
  conditions: z.array(z.looseObject({type: z.string(), status: z.string()})).nullish(),
})

/** Waits until the kinds of definitions are served. */
async function established(kube: KubeClient, definitions: readonly KubeObject[]): Promise<void> {
  const isServed = async ({metadata: {name}}: KubeObject): Promise<boolean> => {
    const live = await kube.get({
      apiVersion: 'apiextensions.k8s.io/v1',
      kind: 'CustomResourceDefinition',
      name,
    })
    return (
      conditionsSchema
        .parse(live?.['status'] ?? {})
        .conditions?.some(({type, status}) => type === 'Established' && status === 'True') === true
    )
  }
  await waitFor({
    what: 'the definitions',
    check: async () => {
      const ready = (await Promise.all(definitions.map(isServed))).filter(Boolean).length
      return ready === definitions.length
        ? {value: true, seen: ''}
        : {seen: `${ready} of ${definitions.length}`}
    },
    timeoutMs: 60_000,
    intervalMs: 200,
    signal,
  })
}

const templateSchema = z.looseObject({
  template: z.looseObject({
    metadata: z.looseObject({}),
    spec: z.looseObject({volumes: z.array(z.unknown()).default([])}),
  }),
  volumeClaimTemplates: z.array(z.looseObject({metadata: z.looseObject({name: z.string()})})).default([]),
})

/** Pods as a workload would create them: what the level of their namespace forbids is refused for pods alone. */
function podsOf(objects: readonly KubeObject[]): readonly KubeObject[] {
  return objects.flatMap(({spec, metadata: {name, namespace = 'default'}}) => {
    const parsed = templateSchema.safeParse(spec)
    if (!parsed.success) return []
    const {template, volumeClaimTemplates} = parsed.data
    const claims = volumeClaimTemplates.map((each) => ({
      name: each.metadata.name,
      persistentVolumeClaim: {claimName: each.metadata.name},
    }))
    const podSpec = {...template.spec, volumes: [...template.spec.volumes, ...claims]}
    return [{apiVersion: 'v1', kind: 'Pod', metadata: {...template.metadata, name, namespace}, spec: podSpec}]
  })
}

test.for(ENTRIES)(
  'the API server accepts every object of $addon.id',
  async ({addon, parameters}, context) => {
    const {api, bundle} = await served(context)
    const objects = await objectsOf(addon, parameters, bundle)
    const isEarly = ({kind}: KubeObject) => kind === 'Namespace' || kind === 'CustomResourceDefinition'
    const definitions = objects.filter(({kind}) => kind === 'CustomResourceDefinition')
    await api.kube.apply(objects.filter(isEarly), signal)
    await established(api.kube, definitions)
    // Webhooks would be called, and nothing serves them here.
    const applied = objects.filter(
      (object) => !isEarly(object) && !object.kind.endsWith('WebhookConfiguration'),
    )
    await api.kube.apply(applied, signal)
    for (const pod of podsOf(applied)) await api.kube.create(pod, {dryRun: true})
    expect(await api.kube.diff(applied.filter(({kind}) => kind !== 'Secret'))).toEqual([])
  },
)
