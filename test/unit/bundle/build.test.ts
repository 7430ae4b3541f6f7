import {existsSync} from 'node:fs'
import {cp, mkdir, readdir, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {buffer} from 'node:stream/consumers'
import {expect, test} from 'vitest'
import {catalogueFor, expectedReferences} from '../../../src/bundle/catalogue.ts'
import type {CatalogueItem} from '../../../src/bundle/catalogue-items.ts'
import {sha256Of} from '../../../src/bundle/digest.ts'
import {bundleDir, filesOf, listBundles, loadBundle} from '../../../src/bundle/load.ts'
import type {Bundle} from '../../../src/bundle/types.ts'
import {verifyBundle} from '../../../src/bundle/verify.ts'
import type {RunEvent} from '../../../src/base/run-events.ts'
import {
  buildTinyBundle,
  itemCount,
  sharedTinyBundle,
  temporaryFolder,
  tinySource,
} from '../../support/tiny-bundle.ts'

const {signal} = new AbortController()
const references = expectedReferences('1.35.4')

test('a built bundle holds every item of the catalogue and verifies', async () => {
  await using folder = await temporaryFolder()
  const bundle = await buildTinyBundle({dir: folder.dir, source: tinySource()})
  const wanted = catalogueFor('1.35.4').images.map(({reference}) => reference)
  expect(bundle.lock.images.map(({reference}) => reference)).toEqual(wanted)
  expect(bundle.lock.files.map((file) => file.name)).toContain('kubelet')
  await expect(verifyBundle(bundle, {references, signal})).resolves.toMatchObject({
    items: itemCount('1.35.4'),
  })
  expect(await loadBundle(bundle.dir)).toMatchObject({dir: bundle.dir, lock: bundle.lock})
})

test('a source that lacks what others publish makes a bundle without it, which is whole', async () => {
  await using folder = await temporaryFolder()
  const source = {...tinySource(), has: ({recipe}: CatalogueItem) => !('published' in recipe)}
  const bundle = await buildTinyBundle({dir: folder.dir, source})
  expect(bundle.lock.images.map(({reference}) => reference)).toEqual(references)
  await expect(verifyBundle(bundle, {references, signal})).resolves.toBeDefined()
})

test('a package in several archives is in the lock once, with all of them', async () => {
  const {lock} = await sharedTinyBundle()
  expect(lock.packages).toMatchObject([{name: 'libc6', usedBy: ['cni-plugins', 'criu', 'host-tools']}])
})

test('a second build of the same inputs makes nothing', async () => {
  await using folder = await temporaryFolder()
  const made: string[] = []
  const events: RunEvent[] = []
  const first = await buildTinyBundle({dir: folder.dir, source: tinySource(made)})
  made.length = 0
  const second = await buildTinyBundle({dir: folder.dir, source: tinySource(made), events})
  expect([made, events, second.lock]).toEqual([[], [], first.lock])
})

test('a build goes on where a failed one stopped', async () => {
  await using folder = await temporaryFolder()
  const first: string[] = []
  const failed = buildTinyBundle({dir: folder.dir, source: tinySource(first, 'smoke')})
  await expect(failed).rejects.toThrow('smoke cannot be made')
  await expect(loadBundle(join(folder.dir, 'bundle'))).rejects.toMatchObject({code: 'BUNDLE_MISSING'})
  const second: string[] = []
  await buildTinyBundle({dir: folder.dir, source: tinySource(second)})
  expect(second).toContain('smoke')
  expect(second.filter((name) => first.includes(name))).toEqual([])
})

test('what a killed build left half made is removed', async () => {
  await using folder = await temporaryFolder()
  const left = [
    join(folder.dir, 'cache/artifacts/.partial-amd64-abc'),
    join(folder.dir, 'bundle.partial-abc'),
  ]
  for (const dir of left) await mkdir(dir, {recursive: true})
  await buildTinyBundle({dir: folder.dir, source: tinySource()})
  expect(left.filter((dir) => existsSync(dir))).toEqual([])
})

test('a file that went missing is put back without making it again', async () => {
  await using folder = await temporaryFolder()
  const made: string[] = []
  const bundle = await buildTinyBundle({dir: folder.dir, source: tinySource(made)})
  made.length = 0
  await rm(join(bundle.dir, 'files', 'kubelet.gz'))
  await verifyBundle(await buildTinyBundle({dir: folder.dir, source: tinySource(made)}), {references, signal})
  expect(made).toEqual([])
})

test('auto takes the go source where the release hosts do not answer', async () => {
  await using folder = await temporaryFolder()
  const made: string[] = []
  await buildTinyBundle({dir: folder.dir, source: tinySource(made), overrides: {source: 'auto'}})
  expect(made).toContain('kubelet')
})

test('every component is reported from its start to its end', async () => {
  await using folder = await temporaryFolder()
  const events: RunEvent[] = []
  await buildTinyBundle({dir: folder.dir, source: tinySource(), events})
  const started = events.flatMap((event) => (event.type === 'task-started' ? [event.task] : []))
  const done = events.flatMap((event) => (event.type === 'task-done' ? [event.task] : []))
  expect(started).toContain('bundle-kubernetes-1.35.4')
  expect(done.sort()).toEqual(started.sort())
})

test('an aborted build ends with the reason and leaves no half bundle', async () => {
  await using folder = await temporaryFolder()
  const controller = new AbortController()
  controller.abort(new Error('enough'))
  const overrides = {signal: controller.signal}
  await expect(buildTinyBundle({dir: folder.dir, source: tinySource(), overrides})).rejects.toThrow('enough')
  expect((await readdir(folder.dir)).filter((name) => name.startsWith('bundle'))).toEqual([])
})

test('a version that is not pinned is refused with those that are', async () => {
  await using folder = await temporaryFolder()
  const overrides = {kubernetes: '1.2.3'}
  const built = buildTinyBundle({dir: folder.dir, source: tinySource(), overrides})
  await expect(built).rejects.toMatchObject({
    code: 'VERSION_NOT_IN_BUNDLE',
    message: expect.stringContaining('1.35.4') as string,
  })
})

test('a bundle that is installed from stays whole while another is built in its place, and nothing else is left', async () => {
  await using folder = await temporaryFolder()
  const bundles: Bundle[] = []
  for (const content of ['first', 'second']) {
    bundles.push(await buildTinyBundle({dir: folder.dir, source: tinySource([], undefined, content)}))
  }
  expect(new Set(bundles.map(({lock}) => lock.files[0]?.sha256)).size).toBe(2)
  for (const {lock, content} of bundles) {
    for (const {path, sha256} of filesOf(lock)) {
      expect(sha256Of(await buffer(content(path)))).toBe(sha256)
    }
  }
  expect((await readdir(folder.dir)).sort()).toEqual(['bundle', 'cache'])
})

test('bundles are listed by folder, and what is none is passed over', async () => {
  await using folder = await temporaryFolder()
  const dir = bundleDir(folder.dir, '1.35.4', 'amd64')
  await cp((await sharedTinyBundle()).dir, dir, {recursive: true})
  await writeFile(join(folder.dir, 'bundles', 'notes.txt'), 'not a bundle')
  await cp(dir, `${dir}.partial-abc`, {recursive: true})
  expect((await listBundles(join(folder.dir, 'bundles'))).map((bundle) => bundle.dir)).toEqual([dir])
  expect(await listBundles(join(folder.dir, 'absent'))).toEqual([])
})
