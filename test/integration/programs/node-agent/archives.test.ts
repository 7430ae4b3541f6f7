import {mkdir, readdir, stat, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {diskArchives} from '../../../../src/programs/node-agent/archives.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {API_VERSION} from '../../../../src/api/names.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

const UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const OTHER = '0b9fe0b5-9a5b-4a1c-9e5f-0a8a1f6b4f11'

async function textOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  let text = ''
  for await (const part of content) text += Buffer.from(part).toString()
  return text
}

test('no two dumps write to one file, and what was not claimed goes with the checkpoint', async () => {
  await using folder = await tempFolder()
  const own = join(folder.path, 'archives')
  const archives = diskArchives(own)
  const [first, second] = [await archives.begin(UID, 'main'), await archives.begin(UID, 'main')]
  expect(first).not.toBe(second)
  expect((await stat(own)).mode & 0o777).toBe(0o700)
  await writeFile(first, 'of a dump that was broken off')
  await writeFile(second, 'whole')
  expect(await archives.sizeOf(UID, 'main')).toBeUndefined()
  expect(await archives.list()).toEqual([UID])
  expect(await archives.claim(second, UID, 'main')).toBe(5)
  expect(await textOf(archives.read(UID, 'main'))).toBe('whole')
  await writeFile(await archives.begin(OTHER, 'main'), 'of another checkpoint')
  await archives.remove(UID)
  expect(await archives.list()).toEqual([OTHER])
  expect(await readdir(own)).toHaveLength(1)
})

test('what is still where archives were before is read, and removed, there', async () => {
  await using folder = await tempFolder()
  const [own, before] = [join(folder.path, 'archives'), join(folder.path, 'kubelet')]
  await mkdir(before)
  await writeFile(join(before, `clouder-${UID}-main.tar`), 'dumped before')
  await writeFile(join(before, 'checkpoint-web_work-main-2026-11-21T09:00:00Z.tar'), "somebody's own")
  const archives = diskArchives(own, [before])
  expect(await archives.list()).toEqual([UID])
  expect(await archives.sizeOf(UID, 'main')).toBe(13)
  expect(await textOf(archives.read(UID, 'main'))).toBe('dumped before')
  expect(await textOf(archives.skim(UID, 'main'))).toBe('dumped before')
  await archives.remove(UID)
  expect(await readdir(before)).toEqual(['checkpoint-web_work-main-2026-11-21T09:00:00Z.tar'])
})

test('a dump that fails in the middle of its archive leaves none of it', async () => {
  await using folder = await tempFolder()
  const node = new FakeNode(folder.path)
  node.ask('nightly', {})
  const tools = node.tools(new Life(), new AbortController().signal)
  let part = ''
  const checkpoint: typeof tools.checkpoint = async (_target, path) => {
    part = path
    await writeFile(path, 'half of it')
    throw new CheckpointError('CHECKPOINT_FAILED', 'no space left on device')
  }
  await reconcileCheckpoint({namespace: POD.namespace, name: 'nightly'}, {...tools, checkpoint})
  expect(node.kube.peek(API_VERSION, 'Checkpoint')[0]?.['status']).toMatchObject({phase: 'Failed'})
  expect(part.startsWith(folder.path)).toBe(true)
  expect(await readdir(folder.path)).toEqual([])
})

test('an agent that starts removes what is left of checkpoints that are gone', async () => {
  await using folder = await tempFolder()
  const node = new FakeNode(folder.path)
  await writeFile(join(folder.path, `clouder-${UID}-main.tar.0a1b`), 'half of it')
  const over = new AbortController()
  const tools = node.tools(new Life(), over.signal)
  const agent = startAgent(tools, diskPreparations(join(folder.path, 'restore'), tools), new Registry())
  await expect.poll(() => tools.archives.list(), {interval: 5}).toEqual([])
  await agent.idle()
  over.abort()
})
