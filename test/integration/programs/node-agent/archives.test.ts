import {randomBytes} from 'node:crypto'
import {mkdir, readdir, stat, symlink, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {diskArchives} from '../../../../src/programs/node-agent/archives.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import {API_VERSION} from '../../../../src/api/names.ts'
import {tarMembers} from '../../../../src/checkpoint/archive/tar.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import {readArchive} from '../../../../src/checkpoint/archive/read.ts'
import {FakeNode, Life, POD} from '../../../support/fake-node.ts'
import {MEMBERS} from '../../../support/kubelet-archive.ts'
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
  const archives = diskArchives(own, {former: [before]})
  expect(await archives.list()).toEqual([UID])
  expect(await archives.sizeOf(UID, 'main')).toBe(13)
  expect(await textOf(archives.read(UID, 'main'))).toBe('dumped before')
  expect(await textOf(archives.skim(UID, 'main'))).toBe('dumped before')
  await archives.remove(UID)
  expect(await readdir(before)).toEqual(['checkpoint-web_work-main-2026-11-21T09:00:00Z.tar'])
})

/** A dump of one container as it is left in a folder. */
async function fill(folder: string, pages: Uint8Array): Promise<void> {
  for (const [name, content] of Object.entries(MEMBERS)) await writeFile(join(folder, name), content)
  await mkdir(join(folder, 'checkpoint'))
  await writeFile(join(folder, 'checkpoint', 'pages-1.img'), pages)
  await writeFile(join(folder, 'checkpoint', 'inventory.img'), 'small')
  await writeFile(join(folder, 'rootfs-diff.tar'), Buffer.alloc(1024))
}

test('a folder is read as the tar that it would be, pages last, whichever way it is read', async () => {
  await using folder = await tempFolder()
  const archives = diskArchives(folder.path)
  const path = await archives.beginFolder(UID, 'main', 'disk')
  const pages = randomBytes(3 * 1024 * 1024 + 77)
  await fill(path, pages)
  expect(await archives.folderOf(UID, 'main')).toBeUndefined()
  expect(archives.begun(UID)?.containers.get('main')).toEqual({folder: path, isWhole: false})
  const sizeBytes = await archives.claim(path, UID, 'main')
  const whole = await archives.folderOf(UID, 'main')
  expect(archives.begun(UID)?.containers.get('main')).toEqual({folder: whole, isWhole: true})
  expect(await archives.sizeOf(UID, 'main')).toBe(sizeBytes)

  const read: Buffer[] = []
  for await (const part of archives.read(UID, 'main')) read.push(Buffer.from(part))
  expect(Buffer.concat(read)).toHaveLength(sizeBytes)
  const seen: Buffer[] = []
  for await (const part of archives.skim(UID, 'main')) seen.push(Buffer.from(part))
  expect(Buffer.concat(seen).equals(Buffer.concat(read))).toBe(true)
  const names: string[] = []
  for await (const {path: name, content} of tarMembers(archives.skim(UID, 'main'))) {
    names.push(name)
    if (name !== 'checkpoint/pages-1.img') continue
    const parts: Uint8Array[] = []
    for await (const part of content) parts.push(part)
    expect(Buffer.concat(parts).equals(pages)).toBe(true)
  }
  expect(names).toEqual([
    ...Object.keys(MEMBERS).toSorted(),
    'checkpoint/inventory.img',
    'rootfs-diff.tar',
    'checkpoint/pages-1.img',
  ])
  const {contents, container} = await readArchive(archives.skim(UID, 'main'), AbortSignal.timeout(5_000))
  expect({container, imageBytes: contents.imageBytes}).toEqual({
    container: 'smoke',
    imageBytes: pages.length + 5,
  })
})

test('an attempt has an id of its own, and takes its folders along', async () => {
  await using folder = await tempFolder()
  const memory = join(folder.path, 'memory')
  await mkdir(memory)
  const archives = diskArchives(join(folder.path, 'disk'), {memory})
  expect(archives.begun(UID)).toBeUndefined()
  const path = await archives.beginFolder(UID, 'main', 'memory')
  expect(path.startsWith(`${memory}/`)).toBe(true)
  const first = archives.begun(UID)
  await archives.beginFolder(UID, 'side', 'disk')
  expect([...(first?.containers.keys() ?? [])]).toEqual(['main', 'side'])
  await archives.remove(UID)
  expect(archives.begun(UID)).toBeUndefined()
  expect(await readdir(memory)).toEqual([])
  expect(await readdir(join(folder.path, 'disk'))).toEqual([])
  await archives.beginFolder(UID, 'main', 'memory')
  expect(archives.begun(UID)?.attempt).not.toBe(first?.attempt)
  expect(archives.begun(OTHER)).toBeUndefined()
})

test('a folder with anything but files and folders in it is refused', async () => {
  await using folder = await tempFolder()
  const archives = diskArchives(folder.path)
  const path = await archives.beginFolder(UID, 'main', 'disk')
  await symlink('/etc/passwd', join(path, 'config.dump'))
  await expect(archives.claim(path, UID, 'main')).rejects.toMatchObject({code: 'CHECKPOINT_FAILED'})
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
