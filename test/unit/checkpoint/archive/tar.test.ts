import {createHash} from 'node:crypto'
import {writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {checkpointImage} from '../../../../src/checkpoint/archive/oci-image.ts'
import {TAR_END, tarHeader, tarMembers, tarPadding} from '../../../../src/checkpoint/archive/tar.ts'
import {diskArchives} from '../../../../src/programs/node-agent/archives.ts'
import {tarOf} from '../../../support/kubelet-archive.ts'
import {pieces, whole} from '../../../support/sealed-checkpoint.ts'
import {tempFolder} from '../../../support/temp-folder.ts'

async function membersOf(bytes: Uint8Array, pieceBytes = 100) {
  const members = new Map<string, Buffer>()
  for await (const {path, content} of tarMembers(pieces(bytes, pieceBytes))) {
    members.set(path, await whole(content))
  }
  return members
}

test('a tar that another program wrote is read, with paths of any length', async () => {
  const long = `${'folder/'.repeat(40)}file-ü`
  const files = {
    short: 'a',
    [long]: Buffer.alloc(2000, 1),
    [`${'x'.repeat(90)}/${'y'.repeat(90)}`]: '',
    last: 'z',
  }
  const archive = await tarOf(files)
  const expected = new Map(Object.entries(files).map(([path, content]) => [path, Buffer.from(content)]))
  expect(await membersOf(archive)).toEqual(expected)
  expect(await membersOf(archive, 1)).toEqual(expected)
})

test('members that nobody reads are skipped', async () => {
  const paths: string[] = []
  for await (const {path} of tarMembers(pieces(await tarOf({a: 'aaa', b: Buffer.alloc(3000), c: ''}))))
    paths.push(path)
  expect(paths).toEqual(['a', 'b', 'c'])
})

test('what is skipped need not be read', async () => {
  const archive = await tarOf({
    a: 'aaa',
    pages: Buffer.alloc(300_000, 1),
    b: 'b',
    more: Buffer.alloc(70_000),
    c: '',
  })
  let [at, readBytes] = [0, 0]
  const source = {
    skip: (bytes: number) => (at += bytes),
    async *[Symbol.asyncIterator]() {
      while (at < archive.length) {
        const part = await Promise.resolve(archive.subarray(at, at + 1000))
        at += part.length
        readBytes += part.length
        yield part
      }
    },
  }
  const found: string[] = []
  for await (const {path, content} of tarMembers(source))
    found.push(path.length === 1 ? `${path}: ${(await whole(content)).toString()}` : path)
  expect(found).toEqual(['a: aaa', 'pages', 'b: b', 'more', 'c: '])
  expect(readBytes).toBeLessThan(20_000)
})

test('a tar that ends in the middle of what is skipped is not whole', async () => {
  const archive = await tarOf({pages: Buffer.alloc(300_000, 1)})
  await using folder = await tempFolder()
  const uid = '59002284-99ba-40ea-be82-c5dfb31d88b6'
  await writeFile(join(folder.path, `clouder-${uid}-app.tar`), archive.subarray(0, 200_000))
  const members = tarMembers(diskArchives(folder.path).skim(uid, 'app'))
  expect((await members.next()).value).toMatchObject({path: 'pages', sizeBytes: 300_000})
  await expect(members.next()).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
})

test('a file of more than 8 GiB has its size in its header', async () => {
  const sizeBytes = 20 * 2 ** 30
  const members = tarMembers(pieces(tarHeader('pages-1.img', sizeBytes)))
  expect((await members.next()).value).toMatchObject({path: 'pages-1.img', sizeBytes, kind: 'file'})
})

test('a tar that is cut off anywhere is not whole', async () => {
  const archive = Buffer.concat([tarHeader('a', 700), Buffer.alloc(700, 1), tarPadding(700), TAR_END])
  for (const end of [0, 100, 511, 512, 900, 1300, 1536]) {
    await expect(membersOf(archive.subarray(0, end))).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  }
  expect((await membersOf(archive)).get('a')).toEqual(Buffer.alloc(700, 1))
})

test('a header whose checksum is wrong is no header', async () => {
  const archive = Buffer.concat([tarHeader('a', 0), TAR_END])
  archive[0] = 0x62
  await expect(membersOf(archive)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
})

test('a checkpoint becomes an OCI image whose manifest says so, the same each time', async () => {
  const archive = await tarOf({'config.dump': '{}'})
  const archiveSha256 = createHash('sha256').update(archive).digest('hex')
  const image = checkpointImage({
    reference: 'checkpoint.clouder.dev/default/web:app',
    container: 'app',
    arch: 'amd64',
    archive: () => pieces(archive),
    archiveBytes: archive.length,
    archiveSha256,
  })
  const bytes = await whole(image.content())
  expect(await whole(image.content())).toEqual(bytes)
  const members = await membersOf(bytes)
  const json = (path: string): unknown => JSON.parse(members.get(path)?.toString() ?? 'null')
  for (const [path, content] of members) {
    const [, hex] = /^blobs\/sha256\/(.*)$/.exec(path) ?? []
    if (hex !== undefined) expect(createHash('sha256').update(content).digest('hex')).toBe(hex)
  }
  expect(members.get(`blobs/sha256/${archiveSha256}`)).toEqual(archive)
  expect(json('oci-layout')).toEqual({imageLayoutVersion: '1.0.0'})
  expect(json('index.json')).toMatchObject({
    manifests: [
      {
        digest: image.digest,
        annotations: {'io.containerd.image.name': 'checkpoint.clouder.dev/default/web:app'},
      },
    ],
  })
  expect(json(image.digest.replace('sha256:', 'blobs/sha256/'))).toMatchObject({
    layers: [{digest: `sha256:${archiveSha256}`, size: archive.length}],
    annotations: {'org.criu.checkpoint.container.name': 'app'},
  })
})
