import {readdir, rm, utimes, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {Readable} from 'node:stream'
import {text} from 'node:stream/consumers'
import {extract} from 'tar-stream'
import {expect, test} from 'vitest'
import {imagesFor} from '../../../src/bundle/catalogue.ts'
import {digestFile} from '../../../src/bundle/digest.ts'
import {loadBundle} from '../../../src/bundle/load.ts'
import {tarOfFiles, tarOfImages} from '../../../src/bundle/stream.ts'
import {writeTar} from '../../../src/bundle/tar.ts'
import type {TreeEntry} from '../../../src/bundle/tar.ts'
import {copyOfTinyBundle, sharedTinyBundle, temporaryFolder} from '../../support/tiny-bundle.ts'

const {signal} = new AbortController()

async function contentsOf(tar: AsyncIterable<Uint8Array>): Promise<Map<string, string>> {
  const sent: Uint8Array[] = []
  for await (const chunk of tar) sent.push(chunk)
  const contents = new Map<string, string>()
  for await (const entry of Readable.from(sent).pipe(extract())) {
    contents.set(entry.header.name, await text(entry))
  }
  return contents
}

test('files travel under the digest of their content', async () => {
  const bundle = await sharedTinyBundle()
  const items = bundle.lock.files.filter(({name}) => name === 'kubelet' || name === 'criu')
  const names = [...(await contentsOf(tarOfFiles(bundle, items))).keys()]
  const [kubelet, criu] = items
  expect(names).toEqual([`${kubelet?.contentSha256}-kubelet.gz`, `${criu?.contentSha256}-criu.tar.gz`])
})

test('images travel as an OCI layout with their references, each blob once', async () => {
  const bundle = await sharedTinyBundle()
  const images = imagesFor(bundle, 'worker', new Set())
  const contents = await contentsOf(tarOfImages(bundle, images))
  // One shared layer; a layer and a manifest of each image.
  expect([...contents.keys()].filter((name) => name.startsWith('blobs/'))).toHaveLength(1 + 2 * images.length)
  expect(JSON.parse(contents.get('index.json') ?? '')).toMatchObject({
    manifests: images.map((image) => ({
      digest: image.manifestDigest,
      annotations: {'io.containerd.image.name': image.reference},
    })),
  })
})

test('a host that is lost in the middle takes nothing from those that read the same files', async () => {
  const bundle = await sharedTinyBundle()
  const images = imagesFor(bundle, 'worker', new Set())
  const whole = await contentsOf(tarOfImages(bundle, images))
  for (let chunks = 1; chunks <= 8; chunks += 1) {
    let left = chunks
    for await (const _ of tarOfImages(bundle, images)) {
      left -= 1
      if (left === 0) break
    }
    bundle.content(bundle.lock.files[0]?.path ?? '').destroy()
  }
  expect(await contentsOf(tarOfImages(bundle, images))).toEqual(whole)
  const kubelet = bundle.lock.files.filter(({name}) => name === 'kubelet')
  expect((await contentsOf(tarOfFiles(bundle, kubelet))).size).toBe(1)
})

test('a blob that is gone ends the stream with an error', async () => {
  await using folder = await temporaryFolder()
  const bundle = await copyOfTinyBundle(folder.dir)
  const [blob = ''] = await readdir(join(bundle.dir, 'oci/blobs/sha256'))
  await rm(join(bundle.dir, 'oci/blobs/sha256', blob))
  const damaged = await loadBundle(bundle.dir)
  await expect(contentsOf(tarOfImages(damaged, bundle.lock.images))).rejects.toMatchObject({
    code: 'BUNDLE_INVALID',
    suggestions: ['clouder bundle verify', 'clouder bundle build --kubernetes 1.35.4'],
  })
})

test('a tar depends on names, modes and contents alone', async () => {
  await using folder = await temporaryFolder()
  const file = join(folder.dir, 'program')
  await writeFile(file, 'content')
  const entries: readonly TreeEntry[] = [
    {path: 'usr/bin/program', file, mode: 0o755},
    {path: 'etc/text', text: 'text', mode: 0o644},
    {path: 'bin', linkTo: 'usr/bin'},
  ]
  await writeTar(entries, join(folder.dir, 'one.tar'), signal)
  await utimes(file, 1, 1)
  await writeTar(entries.toReversed(), join(folder.dir, 'two.tar'), signal)
  const [one, two] = await Promise.all(
    ['one.tar', 'two.tar'].map((name) => digestFile(join(folder.dir, name), signal)),
  )
  expect(one).toEqual(two)
})
