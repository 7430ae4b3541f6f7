import {createHash} from 'node:crypto'
import {execFile} from 'node:child_process'
import {createServer} from 'node:http'
import {mkdtemp, readdir, readFile, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {AddressInfo} from 'node:net'
import {promisify} from 'node:util'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {toolOf} from '../../../../src/bundle/contents.ts'
import {PlatformError} from '../../../../src/platform/errors.ts'
import {applyStack} from '../../../../src/platform/graph/apply.ts'
import {planStack} from '../../../../src/platform/graph/plan.ts'
import {prepareStack, type StackTools} from '../../../../src/platform/graph/prepare.ts'
import {loadStack} from '../../../../src/platform/graph/stack-load.ts'
import {playControllers, stackFolder, stackTools, type StackFolder} from '../../../support/stack-scene.ts'
import {needBundle, startApiServer} from '../../../support/with-api-server.ts'

const CANARY = 'canary-5b0e77d1'
const {signal} = new AbortController()

async function start(context: TestContext) {
  const bundle = await needBundle(context)
  if (!bundle.lock.tools.some(({name}) => name === 'helm')) return context.skip('the bundle has no helm')
  await using parts = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'clouder-charts-'))
  parts.defer(() => rm(dir, {recursive: true, force: true}))
  const helm = await toolOf(bundle, 'helm', {cacheDir: dir, signal})
  const kubectl = await toolOf(bundle, 'kubectl', {cacheDir: dir, signal})
  const server = parts.use(await startApiServer(bundle))
  const ended = new AbortController()
  const ready: string[] = []
  const playing = playControllers(server.kube, ended.signal, (name) => ready.push(name))
  parts.defer(async () => {
    ended.abort()
    await playing
  })
  const all = parts.move()
  return {kube: server.kube, helm, kubectl, ready, stop: () => all.disposeAsync()}
}
type Started = Awaited<ReturnType<typeof start>>
let started: Promise<Started> | undefined
const served = (context: TestContext): Promise<Started> => (started ??= start(context))
afterAll(async () => (await started)?.stop())

const TEMPLATES = `
apiVersion: v1
kind: Secret
metadata: {name: {{ .Release.Name }}}
stringData: {password: {{ .Values.password | quote }}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}, annotations: {kube: {{ .Capabilities.KubeVersion.Version | quote }}}}
spec:
  replicas: {{ .Values.replicas }}
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: main, image: 'registry.example.com/a:1'}]}
---
apiVersion: batch/v1
kind: Job
metadata: {name: migrate, annotations: {helm.sh/hook: 'pre-install,pre-upgrade'}}
spec: {template: {spec: {restartPolicy: Never, containers: [{name: main, image: 'registry.example.com/m:1'}]}}}
---
apiVersion: v1
kind: Pod
metadata: {name: check, annotations: {helm.sh/hook: test}}
spec: {containers: [{name: main, image: 'registry.example.com/t:1'}]}
{{- if .Values.leak }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: leak}
data: {config: 'password={{ .Values.password }}'}
{{- end }}
{{- if not (.Capabilities.APIVersions.Has "apps/v1/Deployment") }}{{ fail "no Deployment" }}{{ end }}
`

async function writeChart(folder: StackFolder): Promise<void> {
  await folder.write('chart/Chart.yaml', {apiVersion: 'v2', name: 'app', version: '1.2.3'})
  await folder.write('chart/values.yaml', {replicas: 1, leak: false})
  await folder.write('chart/templates/all.yaml')
  await writeFile(join(folder.path, 'chart/templates/all.yaml'), TEMPLATES)
}

const textOf = (name: string, services: object): string =>
  JSON.stringify({apiVersion: 'clouder.dev/v1alpha1', kind: 'Stack', metadata: {name}, services})

async function prepared(name: string, services: object, tools: StackTools) {
  return prepareStack(loadStack({text: textOf(name, services), file: 'stack.yaml'}), tools)
}

async function failureOf(work: Promise<unknown>): Promise<PlatformError> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (error instanceof PlatformError) return error
  throw error instanceof Error ? error : new Error('it did not fail')
}

test('a chart is rendered with values of Secrets for this cluster, and its hooks are run', async (context) => {
  const {kube, helm, ready} = await served(context)
  await using folder = await stackFolder()
  await writeChart(folder)
  const name = 'charted'
  await kube.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})
  await kube.create({
    apiVersion: 'v1',
    kind: 'Secret',
    metadata: {name: 'login', namespace: name},
    stringData: {p: CANARY},
  })
  await using scratch = await stackFolder()
  const tools = stackTools(kube, folder.path, {helm: () => Promise.resolve(helm), temporaryDir: scratch.path})
  const password = {$secret: {name: 'login', key: 'p'}}
  const services = {web: {source: {chart: {path: 'chart'}}, values: {password, replicas: 2}}}
  const plan = await planStack(await prepared(name, services, tools), tools)
  expect(plan.services[0]?.notes).toEqual([
    `runs Job ${name}/migrate before`,
    `Pod check is left out: it is a hook for test`,
  ])
  const before = ready.length
  await applyStack(await prepared(name, services, tools), tools)
  expect(ready.slice(before).map((object) => object.replace(/-[0-9a-f]+$/, ''))).toEqual([
    `${name}-web-before`,
    'web',
  ])
  const made = await kube.get({apiVersion: 'v1', kind: 'Secret', namespace: name, name: 'web'})
  expect(made?.['data']).toEqual({password: Buffer.from(CANARY).toString('base64')})
  const live = await kube.get({apiVersion: 'apps/v1', kind: 'Deployment', namespace: name, name: 'web'})
  expect(live).toMatchObject({spec: {replicas: 2}, metadata: {annotations: {kube: 'v1.35.4'}}})
  expect((await planStack(await prepared(name, services, tools), tools)).hasChanges).toBe(false)
  expect(await readdir(scratch.path)).toEqual([])

  const leaking = {web: {...services.web, values: {password, replicas: 3, leak: true}}}
  const refused = await failureOf(planStack(await prepared(name, leaking, tools), tools))
  expect(refused.code).toBe('SECRET_EXPOSED')
  expect(refused.message).toContain(`ConfigMap ${name}/leak at data.config`)
  const broken = {
    web: {
      ...services.web,
      values: {password: {$format: {template: '"{p}', with: {p: password}}}, replicas: '{{'},
    },
  }
  const invalid = await failureOf(planStack(await prepared(name, broken, tools), tools))
  expect(invalid.code).toBe('CHART_INVALID')
  expect([refused.message, invalid.message, JSON.stringify(plan), tools.log()].join('\n')).not.toContain(
    CANARY,
  )
})

test('a chart of a repository is used only with the digest that the stack names', async (context) => {
  const {kube, helm} = await served(context)
  await using folder = await stackFolder()
  await writeChart(folder)
  await promisify(execFile)(helm, ['package', join(folder.path, 'chart'), '--destination', folder.path], {
    env: {HOME: folder.path},
  })
  const archive = await readFile(join(folder.path, 'app-1.2.3.tgz'))
  const digest = createHash('sha256').update(archive).digest('hex')
  const server = createServer((request, response) => {
    const url = `http://${request.headers.host ?? ''}/app-1.2.3.tgz`
    const index = {
      apiVersion: 'v1',
      entries: {app: [{apiVersion: 'v2', name: 'app', version: '1.2.3', urls: [url]}]},
    }
    response.end(request.url === '/index.yaml' ? JSON.stringify(index) : archive)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  try {
    const repository = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
    const tools = stackTools(kube, folder.path, {helm: () => Promise.resolve(helm)})
    const services = (sha256: string) => ({
      web: {
        source: {chart: {repository, name: 'app', version: '1.2.3', digest: `sha256:${sha256}`}},
        values: {password: 'x'},
      },
    })
    const plan = await planStack(await prepared('fetched', services(digest), tools), tools)
    expect(plan.services[0]?.changes.map(({ref}) => ref.kind).toSorted()).toEqual(['Deployment', 'Secret'])
    const wrong = await failureOf(
      planStack(await prepared('fetched', services('0'.repeat(64)), tools), tools),
    )
    expect(wrong.code).toBe('CHART_DIGEST_WRONG')
    expect(wrong.message).toContain(digest)
  } finally {
    server.close()
  }
})

test('a kustomization is built from files, and one that would fetch something is refused', async (context) => {
  const {kube, kubectl} = await served(context)
  await using folder = await stackFolder()
  await folder.write('base/kustomization.yaml', {resources: ['map.yaml']})
  await folder.write('base/map.yaml', {
    apiVersion: 'v1',
    kind: 'ConfigMap',
    metadata: {name: 'map'},
    data: {x: '1'},
  })
  await folder.write('over/kustomization.yaml', {resources: ['../base'], namePrefix: 'prod-'})
  const tools = stackTools(kube, folder.path, {kubectl: () => Promise.resolve(kubectl)})
  const services = {web: {source: {kustomization: 'over'}}}
  const plan = await planStack(await prepared('kustomized', services, tools), tools)
  expect(plan.services[0]?.changes.map(({ref}) => `${ref.namespace ?? ''}/${ref.name}`)).toEqual([
    'kustomized/prod-map',
  ])
  await folder.write('base/kustomization.yaml', {
    resources: ['map.yaml', 'https://example.com/base?ref=main'],
  })
  const refused = await failureOf(prepared('kustomized', services, tools))
  expect(refused.code).toBe('SOURCE_INVALID')
  expect(refused.problems).toMatchObject([{value: 'https://example.com/base?ref=main'}])
})
