import {execFile} from 'node:child_process'
import {createReadStream, createWriteStream} from 'node:fs'
import {mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {promisify} from 'node:util'
import {createGunzip} from 'node:zlib'
import {afterAll, expect, test, type TestContext} from 'vitest'
import {API_VERSION} from '../../../src/api/names.ts'
import {RESOURCES, type ResourceKind} from '../../../src/api/resources.ts'
import type {KubeObject} from '../../../src/kubernetes/types.ts'
import {writeStatus} from '../../../src/operator/writes.ts'
import {needBundle, serveCheckpoints, startApiServer} from '../../support/with-api-server.ts'

/** kubectl of the bundle, at an API server of this file that serves the kinds. */
async function start(context: TestContext) {
  const bundle = await needBundle(context)
  await using parts = new AsyncDisposableStack()
  const dir = await mkdtemp(join(tmpdir(), 'clouder-kubectl-'))
  parts.defer(() => rm(dir, {recursive: true, force: true}))
  const api = parts.use(await startApiServer(bundle))
  await serveCheckpoints(api.kube)
  const file = bundle.lock.files.find(({name}) => name === 'kubectl')
  if (file === undefined) throw new Error(`the bundle ${bundle.dir} has no kubectl`)
  const program = join(dir, 'kubectl')
  await pipeline(
    createReadStream(join(bundle.dir, file.path)),
    createGunzip(),
    createWriteStream(program, {mode: 0o755}),
  )
  await writeFile(join(dir, 'kubeconfig'), api.kubeconfig, {mode: 0o600})
  const flags = [
    `--kubeconfig=${join(dir, 'kubeconfig')}`,
    `--server=https://127.0.0.1:${api.port}`,
    '--tls-server-name=kubernetes',
    `--cache-dir=${join(dir, 'cache')}`,
  ]
  const kubectl = async (...args: readonly string[]): Promise<string> =>
    (await promisify(execFile)(program, [...flags, ...args])).stdout
  await kubectl('create', 'namespace', 'default').catch(() => undefined)
  const all = parts.move()
  return {kube: api.kube, kubectl, stop: () => all.disposeAsync()}
}
type Started = Awaited<ReturnType<typeof start>>
let started: Promise<Started> | undefined
const served = (context: TestContext): Promise<Started> => (started ??= start(context))

afterAll(async () => {
  await (await started)?.stop()
})

const kinds = Object.keys(RESOURCES) as ResourceKind[]

test.for(kinds)('kubectl explain says what every field of a %s is', async (kind, context) => {
  const {kubectl} = await served(context)
  const {plural} = RESOURCES[kind]
  for (const path of [plural, `${plural}.spec`, `${plural}.status`]) {
    const text = await kubectl('explain', path)
    expect(text, path).toMatch(/^DESCRIPTION:\n {4}\w/m)
    expect(text, path).not.toContain('<no description>')
  }
  expect(await kubectl('explain', plural, '--recursive')).toContain('  status\t<')
})

const SPECS: Readonly<Record<ResourceKind, object>> = {
  CheckpointStore: {node: {}},
  Checkpoint: {podRef: {name: 'web'}},
  Restore: {checkpointName: 'web'},
  Migration: {podName: 'web'},
  CheckpointPolicy: {selector: {}},
  Runtime: {image: 'app:1'},
  ContainerHost: {},
}

async function create(kind: ResourceKind, name: string, {kube}: Started): Promise<KubeObject> {
  const namespace = RESOURCES[kind].namespaced ? {namespace: 'default'} : {}
  const object = {apiVersion: API_VERSION, kind, metadata: {name, ...namespace}, spec: SPECS[kind]}
  const created = await kube.create(object)
  if (created === undefined) throw new Error(`there is a ${kind} ${name} already`)
  return created
}

test.for([
  ['CheckpointStore', 'NAME READY AGE'],
  ['Checkpoint', 'NAME PHASE POD NODE SIZE STORE AGE'],
  ['Restore', 'NAME PHASE CHECKPOINT NODE BACKEND AGE'],
  ['Migration', 'NAME PHASE POD FROM TO DOWNTIME-MS AGE'],
  ['CheckpointPolicy', 'NAME SCHEDULE PODS CHECKPOINTS NEXT AGE'],
  ['Runtime', 'NAME STATE PHASE NODE IMAGE AGE'],
  ['ContainerHost', 'NAME SLOTS READY HEARTBEAT AGE'],
] as const)('kubectl get shows of a %s: %s', async ([kind, columns], context) => {
  const all = await served(context)
  await create(kind, 'shown', all)
  const header = async (...flags: readonly string[]): Promise<string> =>
    (await all.kubectl('get', RESOURCES[kind].plural, ...flags))
      .split('\n')[0]
      ?.replaceAll(/\s+/g, ' ')
      .trim() ?? ''
  expect(await header()).toBe(columns)
  expect((await header('-o', 'wide')).length).toBeGreaterThan(columns.length)
})

test.for([
  ['Checkpoint', 'Ready', {phase: 'Ready'}],
  ['Checkpoint', 'Failed', {phase: 'Failed', reason: 'POD_NOT_FOUND', message: 'there is no pod web'}],
  ['Restore', 'Complete', {phase: 'Restored'}],
  ['Migration', 'Complete', {phase: 'Succeeded'}],
  ['Migration', 'Failed', {phase: 'RolledBack', reason: 'NODE_UNLIKE', message: 'it runs where it was'}],
  ['Runtime', 'Ready', {phase: 'Running'}],
  ['Runtime', 'Paused', {phase: 'Paused'}],
] as const)(
  'kubectl wait for a %s that is %s ends with its phase',
  async ([kind, condition, status], context) => {
    const all = await served(context)
    const tools = {kube: all.kube, now: Date.now, signal: new AbortController().signal}
    const name = `to-be-${condition.toLowerCase()}`
    const pending = await writeStatus(await create(kind, name, all), {phase: 'Pending'}, tools)
    const wait = (timeout: string): Promise<string> =>
      all.kubectl(
        'wait',
        `--for=condition=${condition}`,
        `${RESOURCES[kind].plural}/${name}`,
        `--timeout=${timeout}`,
      )
    await expect(wait('1s')).rejects.toThrow('timed out')
    const ended = wait('60s')
    await writeStatus(pending, status, tools)
    expect(await ended).toContain('condition met')
  },
)

const S3 = {bucket: 'b', region: 'eu-west-1', prefix: 'p'}

test.for<[string, object, object, boolean]>([
  ['another folder', {directory: {path: '/a'}}, {directory: {path: '/b'}}, false],
  ['another kind of place', {node: {}}, {directory: {path: '/a'}}, false],
  ['another prefix', {s3: S3}, {s3: {...S3, prefix: 'q'}}, false],
  ['no prefix', {s3: S3}, {s3: {bucket: 'b', region: 'eu-west-1'}}, false],
  ['the right region', {s3: S3}, {s3: {...S3, region: 'eu-central-1'}}, true],
  ['a retention', {node: {}}, {node: {}, retention: {keepLast: 1}}, true],
])('a store that holds checkpoints, and %s: %j, %j: %j', async ([, before, after, isTaken], context) => {
  const {kube} = await served(context)
  const metadata = {name: 'holds'}
  const ref = {apiVersion: API_VERSION, kind: 'CheckpointStore', ...metadata}
  await kube.delete(ref)
  await kube.create({apiVersion: API_VERSION, kind: 'CheckpointStore', metadata, spec: before})
  const change = async (): Promise<unknown> => {
    const {metadata: now} = (await kube.get(ref)) ?? {metadata}
    return kube.update({apiVersion: API_VERSION, kind: 'CheckpointStore', metadata: now, spec: after})
  }
  await kube.patch(ref, {status: {inUse: true}}, {subresource: 'status'})
  if (isTaken) await change()
  else
    await expect(change()).rejects.toThrow('the location of a store that holds checkpoints cannot be changed')
  await kube.patch(ref, {status: {inUse: false}}, {subresource: 'status'})
  await change()
  expect((await kube.get(ref))?.['spec']).toEqual(after)
})
