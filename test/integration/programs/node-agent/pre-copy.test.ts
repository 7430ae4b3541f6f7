import {mkdir, readdir, readFile, readlink} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {API_VERSION} from '../../../../src/api/names.ts'
import {readArchive} from '../../../../src/checkpoint/archive/read.ts'
import {tarMembers} from '../../../../src/checkpoint/archive/tar.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {PreCopiedDumpError} from '../../../../src/programs/node-agent/direct-dump.ts'
import {folderTar} from '../../../../src/programs/node-agent/folder-tar.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {linkDump} from '../../../../src/programs/node-agent/prepare-dumped.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {PAGE_BYTES, TrackedMemory} from '../../../support/tracked-memory.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'move-web'}
const MIB = 1024 ** 2
const {signal} = new AbortController()
const NO_BOUNDS = {allBytes: Number.POSITIVE_INFINITY, filesBytes: Number.POSITIVE_INFINITY}
const PAGES = 20 * (MIB / PAGE_BYTES)

/** A node whose pod is to be moved with pre-copy; half of what it writes, it writes again in each round. */
async function moving(folder: string): Promise<FakeNode & {memory: TrackedMemory}> {
  await mkdir(join(folder, 'memory'))
  const memory = new TrackedMemory()
  for (let page = 0; page < PAGES; page += 1) memory.write(page, `${page}`)
  const node = Object.assign(new FakeNode(folder), {memory})
  node.dumpWay = 'Direct'
  node.memoryBytes = 2 ** 30
  node.targetRoomBytes = 2 ** 30
  node.dumpSize = {...node.dumpSize, memoryBytes: 100 * MIB}
  node.beforeRunc = (_, round) => {
    for (let page = 0; page < 200 / round; page += 3) memory.write(page, `${page} in round ${round}`)
    memory.write(PAGES + round, 'new')
    memory.drop(300 + round)
  }
  node.ask(NAME.name, {podPolicy: 'Freeze', transfer: {nodeName: 'worker-2', preCopy: true}})
  return node
}

const checkpointOf = (node: FakeNode) => node.kube.peek(API_VERSION, 'Checkpoint')[0]
const statusOf = (node: FakeNode): unknown => checkpointOf(node)?.['status']

async function dumpOf(node: FakeNode): Promise<string> {
  return (await node.archives.folderOf(checkpointOf(node)?.metadata.uid ?? '', 'smoke')) ?? ''
}

async function pagesIn(folder: string): Promise<Buffer> {
  for await (const {path, content} of tarMembers((await folderTar(folder)).read())) {
    const parts: Buffer[] = []
    for await (const part of content) parts.push(Buffer.from(part))
    if (path === 'checkpoint/pages-1.img') return Buffer.concat(parts)
  }
  throw new Error('the tar has no pages')
}

test('memory is copied in rounds while the pod runs, and the dump has only the rest', async () => {
  await withTempFolder(async (folder) => {
    const node = await moving(folder)
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    const status = statusOf(node)
    expect(status).toMatchObject({phase: 'Dumped', frozen: true, preCopy: {rounds: 2}})
    const dump = await dumpOf(node)
    const images = await readdir(join(dump, 'checkpoint'))
    expect(images.toSorted()).toEqual(['pagemap-1.img', 'pages-1.img', 'pre-1', 'pre-2'])
    expect(await readdir(dump)).not.toContain('work')
    expect((await pagesIn(dump)).equals(node.memory.whole)).toBe(true)
    const {contents} = await readArchive((await folderTar(dump)).skim(), signal)
    expect(contents.imageBytes).toBeGreaterThan(node.memory.whole.length)
    // What is restored on either node: CRIU finds each round, by links that no source has sent.
    const {imageDir} = await linkDump(dump, join(folder, 'restored'), NO_BOUNDS, signal)
    expect(await readlink(join(imageDir, 'parent'))).toBe('pre-2')
    expect(await readlink(join(imageDir, 'pre-2/parent'))).toBe('../pre-1')
    const first = await readFile(join(imageDir, 'parent/parent/pages-1.img'))
    expect(first.length).toBeGreaterThan(19 * MIB)
  })
})

test('a dump after rounds that is stored has no rounds in the store', async () => {
  await withTempFolder(async (folder) => {
    const node = await moving(folder)
    const tools = node.tools(new Life(), signal)
    await reconcileCheckpoint(NAME, tools)
    await node.kube.patch(checkpointRef(NAME), {status: {phase: 'Storing'}}, {subresource: 'status'})
    await reconcileCheckpoint(NAME, tools)
    expect(statusOf(node)).toMatchObject({phase: 'Ready'})
    const {sizeBytes} = statusOf(node) as {sizeBytes: number}
    expect(sizeBytes).toBeLessThan(node.memory.whole.length + 64 * 1024)
  })
})

test.for([
  ['the first round', 1],
  ['a later round', 2],
] as const)(
  'a pod is moved all the same when %s fails, with nothing of it in the dump',
  async ([, failing]) => {
    await withTempFolder(async (folder) => {
      const node = await moving(folder)
      const copy = node.beforeRunc
      node.beforeRunc = (kind, round) => {
        copy(kind, round)
        if (kind === 'pre-dump' && round === failing)
          throw new CheckpointError('CHECKPOINT_FAILED', 'criu is missing features: [MemTrack]')
      }
      await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
      const message = expect.stringContaining('MemTrack') as string
      expect(statusOf(node)).toMatchObject({phase: 'Dumped', preCopy: {rounds: 0, copiedBytes: 0, message}})
      const dump = await dumpOf(node)
      expect(await readdir(join(dump, 'checkpoint'))).not.toContain('pre-1')
      expect((await pagesIn(dump)).equals(node.memory.whole)).toBe(true)
    })
  },
)

test('a dump that fails after rounds is made again without them', async () => {
  await withTempFolder(async (folder) => {
    const node = await moving(folder)
    const copy = node.beforeRunc
    node.beforeRunc = (kind, round) => {
      copy(kind, round)
      if (kind === 'dump')
        throw new PreCopiedDumpError(new CheckpointError('CHECKPOINT_FAILED', 'no such parent'))
    }
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    const message = 'the dump after it failed: no such parent'
    expect(statusOf(node)).toMatchObject({phase: 'Dumped', frozen: true, preCopy: {rounds: 0, message}})
    const dump = await dumpOf(node)
    expect(await readdir(join(dump, 'checkpoint'))).not.toContain('pre-1')
    expect((await pagesIn(dump)).equals(node.memory.whole)).toBe(true)
  })
})

test.for<[string, (node: FakeNode) => void, string]>([
  ['its kernel does not track writes', (node) => (node.memory = undefined), 'does not track writes'],
  ['the node can spare no memory for it', (node) => (node.memoryBytes = 200 * MIB), 'cannot spare'],
  [
    'the target has no room for it',
    (node) => (node.targetRoomBytes = 250 * MIB),
    'the target node has 250 MiB',
  ],
  [
    'it is dumped in an instant anyway',
    (node) => (node.dumpSize = {...node.dumpSize, memoryBytes: 10 * MIB}),
    'only 10 MiB',
  ],
])('no memory of a pod is copied before when %s, and the status says so', async ([, change, why]) => {
  await withTempFolder(async (folder) => {
    const node: FakeNode = await moving(folder)
    change(node)
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    const message = expect.stringContaining(why) as string
    expect(statusOf(node)).toMatchObject({phase: 'Dumped', preCopy: {rounds: 0, message}})
  })
})

test('a checkpoint that is deleted meanwhile is not copied further, and the pod is not frozen', async () => {
  await withTempFolder(async (folder) => {
    const node = await moving(folder)
    const copy = node.beforeRunc
    const rounds: number[] = []
    node.beforeRunc = (kind, round) => {
      rounds.push(round)
      copy(kind, round)
      if (round === 1) void node.kube.delete(checkpointRef(NAME))
    }
    await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
    expect(rounds).toEqual([1])
    expect(node.processes).toMatchObject({podFrozen: false, dumped: false})
    expect(await node.archives.list()).toEqual([])
  })
})

/** Ends of lives, by how many side effects they have: after the first round, after the last was reported, and after the dump. */
async function endsAroundRounds(): Promise<readonly number[]> {
  const life = new Life()
  await withTempFolder(async (folder) => {
    const node = await moving(folder)
    await reconcileCheckpoint(NAME, node.tools(life, signal))
  })
  const {effects} = life
  expect(effects.filter((effect) => effect === 'runc.run')).toHaveLength(2)
  return [
    effects.indexOf('runc.run') + 1,
    effects.lastIndexOf('runc.run') + 2,
    effects.indexOf('runtime.directDump') + 1,
  ]
}

test('an agent that is killed between rounds leaves nothing of them to the one after it', async () => {
  for (const end of await endsAroundRounds()) {
    const life = new Life(end)
    await withTempFolder(async (folder) => {
      const node = await moving(folder)
      await expect(reconcileCheckpoint(NAME, node.tools(life, signal))).rejects.toThrow()
      const [last = ''] = life.effects.slice(-1)
      const seen = `killed after ${end} effects: ${last}`
      // The pod runs on between rounds, whoever dies.
      if (last !== 'runtime.directDump')
        expect(node.processes, seen).toMatchObject({podFrozen: false, dumped: false})
      await reconcileCheckpoint(NAME, node.tools(new Life(), signal))
      expect(statusOf(node), seen).toMatchObject({phase: 'Dumped', frozen: true, preCopy: {rounds: 2}})
      // Of the rounds before its end nothing is in the dump, and nothing lies beside it.
      const dump = await dumpOf(node)
      const images = ['pagemap-1.img', 'pages-1.img', 'pre-1', 'pre-2']
      expect((await readdir(join(dump, 'checkpoint'))).toSorted(), seen).toEqual(images)
      expect((await pagesIn(dump)).equals(node.memory.whole), seen).toBe(true)
      const left = (await readdir(folder, {recursive: true})).filter((name) => name.includes('.partial-'))
      expect(left, seen).toEqual([])
    })
  }
})

test('what an agent that was killed between rounds has left goes with its checkpoint', async () => {
  await withTempFolder(async (folder) => {
    const node = await moving(folder)
    const [end] = await endsAroundRounds()
    await expect(reconcileCheckpoint(NAME, node.tools(new Life(end), signal))).rejects.toThrow()
    expect(await node.archives.list()).toEqual([checkpointOf(node)?.metadata.uid])
    await node.kube.delete(checkpointRef(NAME))
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    const agent = startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
    await expect.poll(() => node.archives.list(), {interval: 5, timeout: 60_000}).toEqual([])
    await agent.idle()
    ended.abort()
    expect(node.runs).toBe(true)
  })
})
