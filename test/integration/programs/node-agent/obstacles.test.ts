import {expect, test} from 'vitest'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {kubeObjectSchema} from '../../../../src/kubernetes/types.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {parsePod, podRef} from '../../../../src/kubernetes/pod.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {imagesHolding, type Held} from '../../../support/criu-images.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {SPEC} from '../../../support/kubelet-archive.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}
const PODS = '/var/lib/kubelet/pods/59002284-99ba-40ea-be82-c5dfb31d88b6/volumes/kubernetes.io~empty-dir'
const LOST: Held = {how: 'open', path: '/logs/app.log', on: '/logs'}
const UNPROVEN: Held = {how: 'open', path: '/host/lib.so', on: '/host'}
const bind = (destination: string, source: string) => ({
  ...{destination, source},
  ...{type: 'bind', options: ['rbind']},
})

/** A node whose pod holds that, and a checkpoint of it that came to its end. */
async function checkpointOf(folder: string, held: Held, podPolicy: string, node = new FakeNode(folder)) {
  const images = Object.entries(imagesHolding([held], ['/logs', '/host']))
  const mounts = [...SPEC.mounts, bind('/logs', `${PODS}/logs`), bind('/host', '/srv/host')]
  node.members = {
    'spec.dump': JSON.stringify({...SPEC, mounts}),
    ...Object.fromEntries(images.map(([name, bytes]) => [`checkpoint/${name}`, bytes])),
  }
  node.ask(NAME.name, {podPolicy})
  await reconcileCheckpoint(NAME, node.tools(new Life(), new AbortController().signal))
  const object = await node.kube.get(checkpointRef(NAME))
  return {node, status: checkpointStatusSchema.parse(object?.['status'])}
}

test.for([
  ['Freeze', LOST],
  ['Delete', LOST],
  ['Delete', UNPROVEN],
] as const)(
  'a pod that is to end (%s) runs on with its memory when it could not be restored: %o',
  async ([podPolicy, held]) => {
    await withTempFolder(async (folder) => {
      const {node, status} = await checkpointOf(folder, held, podPolicy)
      expect(status).toMatchObject({phase: 'Failed', reason: 'RESTORE_IMPOSSIBLE', frozen: false})
      expect(status.message).toContain(held.path)
      expect(status.message).toContain('process 7 (app)')
      expect(node.runs).toBe(true)
      expect(await node.kube.get(podRef(POD.namespace, POD.name))).toBeDefined()
      // Nothing was stored.
      expect(node.blobs.objects.size).toBe(0)
    })
  },
)

test('what it holds in an emptyDir that is dumped with it is restored with it', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.dumpWay = 'Direct'
    node.volumes = [{name: 'emptydir-logs', path: '/pods/logs'}]
    const {status} = await checkpointOf(folder, LOST, 'Freeze', node)
    expect(status).toMatchObject({phase: 'Ready', frozen: true})
    expect(status).not.toHaveProperty('obstacles')
  })
})

test('a pod with more in its volumes than is dumped is not made to stand still to be ended', async () => {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    node.dumpWay = 'Direct'
    node.volumes = [{name: 'emptydir-logs', path: '/pods/logs'}]
    node.volumeSize = {...node.volumeSize, fileBytes: 5 * 1024 ** 3}
    const status = await taken(node, 'Freeze')
    expect(status).toMatchObject({phase: 'Failed', reason: 'TOO_LARGE', frozen: false})
    expect(status.message).toContain('5120 MiB; at most 4096 MiB')
    expect(node.processes.dumped).toBe(false)
  })
})

test('a pod that can be thawed again stands still for what is not proven', async () => {
  await withTempFolder(async (folder) => {
    const {node, status} = await checkpointOf(folder, UNPROVEN, 'Freeze')
    expect(status).toMatchObject({phase: 'Ready', frozen: true, obstacles: [{verdict: 'Unproven'}]})
    expect(node.processes.ranAfterDump).toBe(false)
  })
})

test('a checkpoint of a pod that runs on is made, and says that it cannot be restored', async () => {
  await withTempFolder(async (folder) => {
    const {node, status} = await checkpointOf(folder, LOST, 'Resume')
    expect(status).toMatchObject({phase: 'Ready', obstacles: [{verdict: 'Impossible', path: LOST.path}]})
    expect(status.message).toContain('but it cannot be restored: /logs/app.log')
    expect(node.runs).toBe(true)
  })
})

const MIB = 1024 * 1024

/** A node whose pod may keep 64 MiB of files. */
async function withLimit(folder: string) {
  const node = new FakeNode(folder)
  const found = await node.kube.get(podRef(POD.namespace, POD.name))
  if (found === undefined) throw new Error('no pod')
  const {spec} = parsePod(found)
  const resources = {limits: {'ephemeral-storage': '64Mi'}}
  const containers = spec.containers.map((container) => ({...container, resources}))
  node.kube.put(kubeObjectSchema.parse({...found, spec: {...spec, containers}}))
  return node
}

async function taken(node: FakeNode, podPolicy: string) {
  node.ask(NAME.name, {podPolicy})
  await reconcileCheckpoint(NAME, node.tools(new Life(), new AbortController().signal))
  return checkpointStatusSchema.parse((await node.kube.get(checkpointRef(NAME)))?.['status'])
}

test.for(['Freeze', 'Delete'])(
  'a pod with more files than its limit is not made to stand still to be ended (%s)',
  async (podPolicy) => {
    await withTempFolder(async (folder) => {
      const node = await withLimit(folder)
      node.dumpSize = {...node.dumpSize, fileBytes: 100 * MIB}
      const status = await taken(node, podPolicy)
      expect(status).toMatchObject({phase: 'Failed', reason: 'RESTORE_IMPOSSIBLE', frozen: false})
      expect(node.processes.dumped).toBe(false)
      expect(node.runs).toBe(true)
    })
  },
)

test('what grew above the limit until it was dumped is not ended, and one that was not measured says so', async () => {
  await withTempFolder(async (folder) => {
    const node = await withLimit(folder)
    node.dumpSize = {...node.dumpSize, unmeasured: 'EACCES'}
    node.members = {'rootfs-diff.tar': Buffer.alloc(81 * MIB)}
    const status = await taken(node, 'Delete')
    expect(status).toMatchObject({
      ...{phase: 'Failed', reason: 'RESTORE_IMPOSSIBLE', frozen: false},
      containers: [{unmeasured: 'EACCES'}],
    })
    expect(status.message).toContain('ephemeral-storage')
    expect(node.runs).toBe(true)
    expect(await node.kube.get(podRef(POD.namespace, POD.name))).toBeDefined()
  })
})
