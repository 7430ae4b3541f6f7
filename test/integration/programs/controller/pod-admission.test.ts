import {afterAll, expect, test, type TestContext} from 'vitest'
import {z} from 'zod'
import {checkpointAccess} from '../../../../src/platform/addons/checkpoint/access.ts'
import {checkpointAdmission} from '../../../../src/platform/addons/checkpoint/admission.ts'
import {CONTROLLER} from '../../../../src/platform/addons/checkpoint/names.ts'
import {
  AFFINITY_ANNOTATION,
  CHECKPOINT_IMAGE_PREFIX,
  CHECKPOINT_IMAGES_LABEL,
  ORIGINAL_ANNOTATION,
  SYSTEM_NAMESPACE,
} from '../../../../src/api/names.ts'
import {kubeObjectSchema, type KubeClient, type KubeObject} from '../../../../src/kubernetes/types.ts'
import {waitFor} from '../../../../src/base/waiting.ts'
import {admissionFollowed} from '../../../support/admission-followed.ts'
import {asServiceAccount} from '../../../support/service-account.ts'
import {
  needBundle,
  serveCheckpoints,
  startApiServer,
  type ApiServer,
} from '../../../support/with-api-server.ts'

const TEAM = 'team'
const DIGEST = `@sha256:${'0'.repeat(64)}`
const imageOf = (namespace: string): string => `${CHECKPOINT_IMAGE_PREFIX}${namespace}/ck/main${DIGEST}`

interface Scene {
  readonly api: ApiServer
  /** Somebody who may make pods in the namespace. */
  readonly editor: KubeClient
  readonly controller: KubeClient
}
let started: Promise<Scene> | undefined
const scene = async (context: TestContext): Promise<Scene> => {
  const bundle = await needBundle(context)
  return (started ??= begin(await startApiServer(bundle)))
}
afterAll(async () => {
  const found = await started
  for (const kube of [found?.editor, found?.controller]) kube?.close()
  await found?.api[Symbol.asyncDispose]()
})

const account = (namespace: string, name: string): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ServiceAccount',
  metadata: {name, namespace},
})

async function begin(api: ApiServer): Promise<Scene> {
  const {kube} = api
  await serveCheckpoints(kube)
  for (const name of [SYSTEM_NAMESPACE, TEAM]) {
    const labels = {[CHECKPOINT_IMAGES_LABEL]: 'true'}
    await kube.apply([{apiVersion: 'v1', kind: 'Namespace', metadata: {name, labels}}])
  }
  await kube.apply([
    account(TEAM, 'default'),
    account(TEAM, 'editor'),
    // The role `edit` is gathered by a controller that is not here; what it gives of pods.
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'Role',
      metadata: {name: 'editor', namespace: TEAM},
      rules: [{apiGroups: [''], resources: ['pods'], verbs: ['get', 'create', 'update', 'patch', 'delete']}],
    },
    {
      apiVersion: 'rbac.authorization.k8s.io/v1',
      kind: 'RoleBinding',
      metadata: {name: 'editor', namespace: TEAM},
      roleRef: {apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name: 'editor'},
      subjects: [{kind: 'ServiceAccount', name: 'editor', namespace: TEAM}],
    },
    ...checkpointAccess(),
    ...checkpointAdmission(),
  ])
  const editor = await asServiceAccount(api, {namespace: TEAM, name: 'editor'})
  const controller = await asServiceAccount(api, {namespace: SYSTEM_NAMESPACE, name: CONTROLLER})
  await admissionFollowed(kube)
  // Roles take a moment until they are followed, too.
  await waitFor({
    what: 'the roles',
    check: async () => {
      const seen = await Promise.all([editor, controller].map((one) => outcome(one.create(pod({}), DRY))))
      return {seen: seen.join(), ...(seen.every((said) => said === 'done') ? {value: true} : {})}
    },
    timeoutMs: 30_000,
    intervalMs: 200,
    signal: new AbortController().signal,
  })
  return {api, editor, controller}
}

const DRY = {dryRun: true}
const POD = {apiVersion: 'v1', kind: 'Pod', namespace: TEAM, name: 'p'}

function pod({metadata, spec}: {metadata?: object; spec?: object}): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name: 'p', namespace: TEAM, ...metadata},
    spec: {containers: [{name: 'main', image: 'app:1'}], ...spec},
  }
}

const containersSchema = z.array(z.looseObject({image: z.string()}))

/** `done`, or what the API server said. */
const outcome = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: unknown) => String(error),
  )

/** `made`, and it is gone again; or what the API server said. */
async function made(kube: KubeClient, wanted: {metadata?: object; spec?: object}): Promise<string> {
  try {
    await kube.create(pod(wanted))
    await kube.delete(POD, {graceSeconds: 0})
    return 'made'
  } catch (error) {
    return error instanceof Error ? error.message : String(error)
  }
}

const with1 = (list: string, image: string): object => ({
  spec: {
    containers: [{name: 'main', image: 'app:1'}],
    ...(list === 'volumes'
      ? {volumes: [{name: 'memory', image: {reference: image}}]}
      : {[list]: [{name: 'memory', image}]}),
  },
})

test.for<[string, object, string]>([
  [
    'a forged original spec',
    {metadata: {annotations: {[ORIGINAL_ANNOTATION]: '{"containers":{}}'}}},
    'by the controller',
  ],
  ['a forged affinity', {metadata: {annotations: {[AFFINITY_ANNOTATION]: 'null'}}}, 'by the controller'],
  ['the memory of a process as a container', with1('containers', imageOf(TEAM)), 'created by a Restore'],
  [
    'the memory of a process as an init container',
    with1('initContainers', imageOf(TEAM)),
    'created by a Restore',
  ],
  ['the memory of a process as a volume', with1('volumes', imageOf(TEAM)), 'are not mounted'],
  ['a volume of an image by its id', with1('volumes', `sha256:${'a'.repeat(64)}`), 'not by their id'],
])('who edits a namespace makes no pod with %s', async ([, wanted, words], context) => {
  const {editor} = await scene(context)
  expect(await made(editor, wanted)).toContain(words)
  expect(await made(editor, {})).toBe('made')
})

test('no pod that is there is given the memory of a process, or another past', async (context) => {
  const {editor, api} = await scene(context)
  await editor.create(pod({spec: {initContainers: [{name: 'first', image: 'app:1'}]}}))
  const image = imageOf(TEAM)
  const ofPod = z.looseObject({containers: containersSchema, initContainers: containersSchema})
  const changed = async (list: 'containers' | 'initContainers'): Promise<string> => {
    const object = await editor.get(POD)
    const spec = ofPod.parse(object?.['spec'])
    const next = {...spec, [list]: spec[list].map((container) => ({...container, image}))}
    return outcome(editor.update(kubeObjectSchema.parse({...object, spec: next})))
  }
  expect(await changed('initContainers')).toContain('created by a Restore')
  expect(await changed('containers')).toContain('created by a Restore')
  const annotate = (annotations: object): Promise<string> =>
    outcome(editor.patch(POD, {metadata: {annotations}}))
  expect(await annotate({[ORIGINAL_ANNOTATION]: '{}'})).toContain('by the controller')
  const {status, body} = await api.kube.fetch(`/api/v1/namespaces/${TEAM}/pods/p`)
  expect([status, body]).toEqual([200, expect.not.stringContaining(CHECKPOINT_IMAGE_PREFIX)])
  expect(await annotate({other: 'x'})).toBe('done')
  await editor.delete(POD, {graceSeconds: 0})
})

test('the controller makes pods of checkpoints of their own namespace only, and mounts none', async (context) => {
  const {controller} = await scene(context)
  expect(await made(controller, with1('containers', imageOf('other')))).toContain(
    'the namespace of their checkpoint',
  )
  expect(await made(controller, with1('containers', imageOf(`${TEAM}-b`)))).toContain(
    'the namespace of their checkpoint',
  )
  expect(await made(controller, with1('volumes', imageOf(TEAM)))).toContain('are not mounted')
  const annotations = {[ORIGINAL_ANNOTATION]: '{"containers":{}}', [AFFINITY_ANNOTATION]: 'null'}
  expect(await made(controller, {metadata: {annotations}, ...with1('containers', imageOf(TEAM))})).toBe(
    'made',
  )
})
