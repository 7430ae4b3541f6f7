import {readdir, readFile, rename, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {API_VERSION, RESTORE_ANNOTATION, RESTORE_RUNTIME} from '../../../../src/api/names.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {digestOf, outgoingDumps} from '../../../../src/programs/node-agent/transfer/outgoing.ts'
import {parsePod, podRef} from '../../../../src/kubernetes/pod.ts'
import {Died, FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'move-web'}
const {signal} = new AbortController()

/** A node whose pod is to be moved to another one. */
function moving(folder: string, containers?: readonly string[]): FakeNode {
  const node = new FakeNode(folder, containers)
  node.dumpWay = 'Direct'
  node.ask(NAME.name, {podPolicy: 'Freeze', transfer: {nodeName: 'worker-2'}})
  return node
}

const statusOf = (node: FakeNode): unknown => node.kube.peek(API_VERSION, 'Checkpoint')[0]?.['status']

/** What a node that asks for the dump is told of it, by an agent that was just started. */
async function offered(node: FakeNode): Promise<string | undefined> {
  const uid = node.kube.peek(API_VERSION, 'Checkpoint')[0]?.metadata.uid ?? ''
  const view = await outgoingDumps(join(node.folder, 'outgoing'), node.archives).view(uid)
  return view?.manifest === undefined ? undefined : digestOf(view.manifest)
}

test('a dump that is moved to another node stays, with the pod frozen, and is in no store', async () => {
  await withTempFolder(async (folder) => {
    const node = moving(folder, ['smoke', 'log'])
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    const digest = await offered(node)
    expect(digest).toMatch(/^sha256:/)
    expect(statusOf(node)).toMatchObject({
      phase: 'Dumped',
      frozen: true,
      transfer: {digest},
      summary: {containers: [{name: 'smoke'}, {name: 'log'}]},
    })
    expect(node.processes).toMatchObject({podFrozen: true, ranAfterDump: false})
    expect(node.blobs.objects.size).toBe(0)
    // Again, as an agent does that is started anew: it is what it was.
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    expect(await offered(node)).toBe(digest)
  })
})

test('a dump that its target has no room for is refused, with both sizes, before the pod is frozen', async () => {
  await withTempFolder(async (folder) => {
    const node = moving(folder)
    node.targetRoomBytes = 10 * 1024 ** 2
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    expect(statusOf(node)).toMatchObject({phase: 'Failed', reason: 'TOO_LARGE', frozen: false})
    expect(JSON.stringify(statusOf(node))).toMatch(
      /"node worker-2 has 10 MiB free for the memory of the pod, which needs about \d+ MiB"/,
    )
    expect(node.processes).toMatchObject({podFrozen: false, dumped: false})
  })
})

test('a dump that its target does not request is refused before the pod is frozen', async () => {
  await withTempFolder(async (folder) => {
    const node = moving(folder)
    node.targetRoomBytes = undefined
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    expect(statusOf(node)).toMatchObject({
      ...{phase: 'Failed', reason: 'TRANSFER_FAILED', frozen: false, refusedByNodeName: 'worker-2'},
      message: 'the node agent of worker-2 did not connect to request the memory of the pod',
    })
    expect(node.processes).toMatchObject({podFrozen: false, dumped: false})
  })
})

test('an agent that is killed anywhere on the way there ends with one dump that is the one it offers', async () => {
  for (let effects = 1; ; effects += 1) {
    const isDone = await withTempFolder(async (folder) => {
      const node = moving(folder)
      const first = new Life(effects)
      const died = await reconcileCheckpoint(NAME, node.tools(first, signal)).then(
        () => false,
        (error: unknown) => {
          if (!(error instanceof Died) && !first.over) throw error
          return true
        },
      )
      await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
      expect(statusOf(node)).toMatchObject({phase: 'Dumped', transfer: {digest: await offered(node)}})
      expect(node.processes).toMatchObject({podFrozen: true, alive: true})
      return !died
    })
    if (isDone) break
    expect(effects).toBeLessThan(40)
  }
})

test('what the runtime made an archive of is stored', async () => {
  await withTempFolder(async (folder) => {
    const node = moving(folder)
    node.dumpWay = 'Runtime'
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    expect(statusOf(node)).toMatchObject({phase: 'Ready'})
    expect(statusOf(node)).not.toHaveProperty('transfer')
  })
})

test('a dump that is kept is stored when its move has ended', async () => {
  await withTempFolder(async (folder) => {
    const node = moving(folder)
    const tools = node.tools(new Life(), signal)
    await reconcileCheckpoint(NAME, tools)
    await node.kube.patch(checkpointRef(NAME), {status: {phase: 'Storing'}}, {subresource: 'status'})
    await reconcileCheckpoint(NAME, tools)
    expect(statusOf(node)).toMatchObject({phase: 'Ready'})
    expect(await offered(node)).toBeUndefined()
  })
})

test('a pod that is made back on the source gets links, and the dump stays as it is', async () => {
  await withTempFolder(async (folder) => {
    const node = moving(folder)
    node.members = {'checkpoint/pages-1.img': 'memory', 'rootfs-diff.tar': 'a tar of files'}
    const tools = node.tools(new Life(), signal)
    await reconcileCheckpoint(NAME, tools)
    const digest = await offered(node)
    node.kube.put({
      ...{apiVersion: 'v1', kind: 'Pod'},
      metadata: {name: 'web-2', namespace: POD.namespace, annotations: {[RESTORE_ANNOTATION]: NAME.name}},
      spec: {nodeName: NODE, runtimeClassName: RESTORE_RUNTIME, containers: [{name: 'smoke', image: 'x'}]},
      status: {phase: 'Pending'},
    })
    const found = await node.kube.get(podRef(POD.namespace, 'web-2'))
    if (found === undefined) throw new Error('the pod is gone')
    const pod = parsePod(found)
    const preparations = diskPreparations(join(folder, 'restore'), tools)
    const prepared = await preparations.prepare(pod, 'smoke')
    expect(await readFile(join(prepared?.imageDir ?? '', 'pages-1.img'), 'utf8')).toBe('memory')
    expect(await readFile(prepared?.changes ?? '', 'utf8')).toBe('a tar of files')
    // As limits are written before a restore.
    const image = join(prepared?.imageDir ?? '', 'pages-1.img')
    await writeFile(`${image}.new`, 'other')
    await rename(`${image}.new`, image)
    const uid = node.kube.peek(API_VERSION, 'Checkpoint')[0]?.metadata.uid ?? ''
    const dump = (await node.archives.folderOf(uid, 'smoke')) ?? ''
    expect(await readFile(join(dump, 'checkpoint/pages-1.img'), 'utf8')).toBe('memory')
    expect(await offered(node)).toBe(digest)
    await preparations.noteRestored(pod.metadata.uid, 'smoke')
    expect(await readdir(join(folder, 'restore', pod.metadata.uid))).toEqual(['smoke.restored'])
    expect(await readFile(join(dump, 'checkpoint/pages-1.img'), 'utf8')).toBe('memory')
  })
})

test('a node that has no dump of a checkpoint does not start its pod', async () => {
  await withTempFolder(async (folder) => {
    const node = moving(folder)
    const tools = node.tools(new Life(), signal)
    await reconcileCheckpoint(NAME, tools)
    node.kube.put({
      ...{apiVersion: 'v1', kind: 'Pod'},
      metadata: {name: 'web-2', namespace: POD.namespace, annotations: {[RESTORE_ANNOTATION]: NAME.name}},
      spec: {nodeName: 'worker-3', containers: [{name: 'smoke', image: 'x'}]},
      status: {},
    })
    const found = await node.kube.get(podRef(POD.namespace, 'web-2'))
    if (found === undefined) throw new Error('the pod was not made')
    const pod = parsePod(found)
    for (const name of ['worker-2', 'worker-3']) {
      const preparations = diskPreparations(join(folder, name), {...tools, node: name})
      await expect(preparations.prepare(pod, 'smoke')).rejects.toMatchObject({code: 'CHECKPOINT_UNKNOWN'})
    }
  })
})
