import {readFile, stat, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {Readable} from 'node:stream'
import {gzipSync} from 'node:zlib'
import {expect, test} from 'vitest'
import {manifestsOf, toolOf} from '../../../src/bundle/contents.ts'
import {sha256Of} from '../../../src/bundle/digest.ts'
import {filesOf} from '../../../src/bundle/load.ts'
import {bundleLockSchema, type Bundle} from '../../../src/bundle/types.ts'
import {sharedTinyBundle, temporaryFolder} from '../../support/tiny-bundle.ts'

const {signal} = new AbortController()
const crds = [
  {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: {name: 'shops.example'},
  },
]

/** The tiny bundle with one entry of manifests and one tool, whose files have the contents. */
async function bundleWith(manifests: string, tool: string, delivered = {manifests, tool}): Promise<Bundle> {
  const {dir, lock} = await sharedTinyBundle()
  const entry = (name: string, path: string, content: string) => {
    const file = gzipSync(content)
    const described = {path, sizeBytes: file.length, sha256: sha256Of(file)}
    return {name, version: '1', source: 'test', ...described, contentSha256: sha256Of(content)}
  }
  const files: Readonly<Record<string, string>> = {
    'files/shop-crds.json.gz': delivered.manifests,
    'files/helm.gz': delivered.tool,
  }
  return {
    dir,
    lock: {
      ...lock,
      manifests: [{kind: 'manifests', ...entry('shop-crds', 'files/shop-crds.json.gz', manifests)}],
      tools: [{kind: 'tool', ...entry('helm', 'files/helm.gz', tool)}],
    },
    content: (path) => Readable.from([gzipSync(files[path] ?? '')]),
  }
}

test('objects come out as their authors published them', async () => {
  const bundle = await bundleWith(JSON.stringify(crds), '')
  expect(await manifestsOf(bundle, 'shop-crds')).toEqual(crds)
})

test('objects with another digest are refused', async () => {
  const bundle = await bundleWith(JSON.stringify(crds), '', {manifests: '[]', tool: ''})
  await expect(manifestsOf(bundle, 'shop-crds')).rejects.toMatchObject({
    code: 'BUNDLE_DIGEST_WRONG',
    message: expect.stringContaining('files/shop-crds.json.gz') as string,
  })
})

test.each(['{', '{}', '[{"kind": "Service"}]'])('%s is no list of objects', async (text) => {
  const bundle = await bundleWith(text, '')
  await expect(manifestsOf(bundle, 'shop-crds')).rejects.toMatchObject({code: 'BUNDLE_INVALID'})
})

test('what a bundle lacks is named, with what builds it', async () => {
  await using folder = await temporaryFolder()
  const bundle = await bundleWith('[]', '')
  const expected = {
    code: 'BUNDLE_NOT_CLOSED',
    message: expect.stringContaining('lacks absent') as string,
    suggestions: ['clouder bundle build --kubernetes 1.35.4'],
  }
  await expect(manifestsOf(bundle, 'absent')).rejects.toMatchObject(expected)
  await expect(toolOf(bundle, 'absent', {cacheDir: folder.dir, signal})).rejects.toMatchObject(expected)
})

test('a tool is unpacked once, can be run, and is unpacked again when it was changed', async () => {
  await using folder = await temporaryFolder()
  const bundle = await bundleWith('[]', '#!/bin/sh\n')
  const path = await toolOf(bundle, 'helm', {cacheDir: folder.dir, signal})
  expect(dirname(dirname(path))).toBe(join(folder.dir, 'tools'))
  const {mode, ino} = await stat(path)
  expect(mode & 0o777).toBe(0o755)
  expect(await toolOf(bundle, 'helm', {cacheDir: folder.dir, signal})).toBe(path)
  expect((await stat(path)).ino).toBe(ino)
  await writeFile(path, '#!/bin/sh\nfalse\n')
  await toolOf(bundle, 'helm', {cacheDir: folder.dir, signal})
  expect(await readFile(path, 'utf8')).toBe('#!/bin/sh\n')
})

test('a tool with another digest is refused and left nowhere', async () => {
  await using folder = await temporaryFolder()
  const bundle = await bundleWith('[]', '#!/bin/sh\n', {manifests: '[]', tool: '#!/bin/sh\nfalse\n'})
  const unpacking = toolOf(bundle, 'helm', {cacheDir: folder.dir, signal})
  await expect(unpacking).rejects.toMatchObject({code: 'BUNDLE_DIGEST_WRONG'})
  const path = join(folder.dir, 'tools', sha256Of('#!/bin/sh\n'), 'helm')
  await expect(stat(path)).rejects.toMatchObject({code: 'ENOENT'})
})

test('a lock of a bundle that was built before addons is still read', async () => {
  const {manifests: _manifests, tools: _tools, ...older} = (await sharedTinyBundle()).lock
  expect(bundleLockSchema.parse(older)).toMatchObject({manifests: [], tools: [], files: older.files})
})

test('the files of manifests and tools are among those that a bundle must have', async () => {
  const {lock} = await bundleWith('[]', 'tool')
  const paths = filesOf(lock).map(({path}) => path)
  expect(paths).toEqual(expect.arrayContaining(['files/shop-crds.json.gz', 'files/helm.gz']))
})
