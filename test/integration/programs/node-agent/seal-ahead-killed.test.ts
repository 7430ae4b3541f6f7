import {randomBytes} from 'node:crypto'
import {mkdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {checkpointStatusSchema} from '../../../../src/api/resources.ts'
import {digestSchema} from '../../../../src/api/sealed-checkpoint.ts'
import {GARBAGE_GRACE_MS} from '../../../../src/checkpoint/gc.ts'
import {openCheckpoint} from '../../../../src/checkpoint/sealed/open.ts'
import {podRef} from '../../../../src/kubernetes/pod.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {collectGarbage} from '../../../../src/programs/node-agent/garbage.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'paused'}
const MIB = 2 ** 20
const MOST_EFFECTS = 60
const {signal} = new AbortController()

const statusOf = async ({kube}: FakeNode) =>
  checkpointStatusSchema.parse((await kube.get(checkpointRef(NAME)))?.['status'] ?? {})

const piecesOf = ({blobs}: FakeNode): number =>
  [...blobs.objects.keys()].filter((key) => key.startsWith('blobs/')).length

/** A node whose pod ends with its checkpoint; pieces of its memory are in the store before the dump is complete. */
async function pausing(folder: string, life: Life, random: Buffer): Promise<FakeNode> {
  const node = new FakeNode(folder)
  await mkdir(join(folder, 'memory'))
  Object.assign(node, {dumpWay: 'Direct', memoryBytes: 2 ** 40})
  node.members = {'checkpoint/pages-1.img': random}
  node.whenWritten = async () => {
    await expect.poll(() => life.over || piecesOf(node) > 0, {interval: 5, timeout: 20_000}).toBe(true)
  }
  node.ask(NAME.name, {podPolicy: 'Delete'})
  return node
}

/** An agent that lives until the checkpoint has ended. */
async function liveOn(node: FakeNode): Promise<void> {
  const ended = new AbortController()
  const tools = node.tools(new Life(), ended.signal)
  const agent = startAgent(tools, diskPreparations(join(node.folder, 'restore'), tools), new Registry())
  await expect
    .poll(async () => (await statusOf(node)).phase, {interval: 5, timeout: 20_000})
    .toMatch(/Ready|Failed/)
  await agent.idle()
  ended.abort()
}

/** What no Checkpoint names goes, some days later; gives how many pieces of no manifest that were. */
async function collect(node: FakeNode): Promise<number> {
  const tools = node.tools(new Life(), signal)
  await collectGarbage({...tools, now: () => Date.now() + 3 * GARBAGE_GRACE_MS})
  return (await node.blobs.collect({graceMs: 0, dryRun: false, signal})).removedBlobs
}

/** What is stored opens, and has all of the memory, as it was when it was dumped last or before that. */
async function expectWhole(node: FakeNode, ...memories: readonly Buffer[]): Promise<void> {
  const {digest} = await statusOf(node)
  const {blobs, keys} = await node.tools(new Life(), signal).stores.open('default', {signal})
  const opened = await openCheckpoint({
    ...{store: blobs, digest: digestSchema.parse(digest)},
    ...{keys: keys.wrappers, trust: keys.trust, signal},
  })
  const parts: Buffer[] = []
  for await (const part of opened.archive('smoke')) parts.push(Buffer.from(part))
  const archive = Buffer.concat(parts)
  expect(memories.some((memory) => archive.includes(memory))).toBe(true)
}

/** Ends an agent after each of its side effects; `next`: what becomes of the node, and what must be true then. */
async function killAfterEach(
  next: (node: FakeNode, random: Buffer, seen: string) => Promise<void>,
): Promise<void> {
  let ahead = 0
  for (let point = 1; ; point += 1) {
    await using folder = await tempFolder()
    const [life, random] = [new Life(point), randomBytes(6 * MIB)]
    const node = await pausing(folder.path, life, random)
    const written = node.whenWritten
    node.whenWritten = async () => {
      await written()
      if (life.over && piecesOf(node) > 0) ahead += 1
    }
    await reconcileCheckpoint(NAME, node.tools(life, signal)).catch((error: unknown) => {
      if (!life.over) throw error
    })
    // Of a process that was killed nothing goes on; here what it had begun ends by itself.
    await new Promise((resolve) => setTimeout(resolve, 50))
    node.whenWritten = () => Promise.resolve()
    await next(node, random, `killed after ${life.effects.length} effects: ${life.effects.at(-1) ?? ''}`)
    if (!life.over) break
    expect(point).toBeLessThan(MOST_EFFECTS)
  }
  // That this was about pieces of dumps that were not complete.
  expect(ahead).toBeGreaterThan(0)
}

test('an agent that is killed with pieces sealed ahead leaves a process or a whole checkpoint, and nothing else in the store', async () => {
  let collected = 0
  await killAfterEach(async (node, random, seen) => {
    // Nothing half is a checkpoint, at the moment of the kill and after it.
    if ((await statusOf(node)).phase === 'Ready') await expectWhole(node, random)
    else expect(node.processes.alive, seen).toBe(true)
    // It may run until the next agent dumps it again.
    const later = randomBytes(6 * MIB)
    node.members = {'checkpoint/pages-1.img': later}
    await liveOn(node)
    expect(await statusOf(node), seen).toMatchObject({phase: 'Ready'})
    expect([node.processes.alive, (await node.blobs.listManifests(signal)).length], seen).toEqual([false, 1])
    collected += await collect(node)
    await expectWhole(node, random, later)
  })
  expect(collected).toBeGreaterThan(0)
})

test('of a node that is lost with pieces sealed ahead no checkpoint is left unless it is whole', async () => {
  await killAfterEach(async (node, random, seen) => {
    Object.assign(node.processes, {alive: false, podFrozen: false})
    node.kube.drop(podRef(POD.namespace, POD.name))
    for (const part of ['memory', 'outgoing'])
      await rm(join(node.folder, part), {recursive: true, force: true})
    await mkdir(join(node.folder, 'memory'))
    await liveOn(node)
    const {phase} = await statusOf(node)
    await collect(node)
    if (phase === 'Ready') await expectWhole(node, random)
    else expect([phase, [...node.blobs.objects.keys()]], seen).toEqual(['Failed', []])
  })
})

test.for([
  [
    'the controller has ended',
    (node: FakeNode) =>
      node.kube.patch(
        checkpointRef(NAME),
        {status: {phase: 'Failed', reason: 'ENDED'}},
        {subresource: 'status'},
      ),
  ],
  ['somebody has deleted', (node: FakeNode) => node.kube.delete(checkpointRef(NAME))],
] as const)(
  'of a checkpoint that %s while its pieces are sealed ahead the process runs on, and its pieces go',
  async ([, end]) => {
    await using folder = await tempFolder()
    const [life, random] = [new Life(), randomBytes(6 * MIB)]
    const node = await pausing(folder.path, life, random)
    const written = node.whenWritten
    node.whenWritten = async () => {
      await written()
      await end(node)
    }
    await reconcileCheckpoint(NAME, node.tools(life, signal))
    expect(node.runs).toBe(true)
    expect(piecesOf(node)).toBeGreaterThan(0)
    expect(await node.blobs.listManifests(signal)).toEqual([])
    await collect(node)
    expect(piecesOf(node)).toBe(0)
  },
)
