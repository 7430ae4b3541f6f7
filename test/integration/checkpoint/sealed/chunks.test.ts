import {createCipheriv, createHash, randomBytes} from 'node:crypto'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {TAR_END, tarHeader, tarPadding} from '../../../../src/checkpoint/archive/tar.ts'
import {MAX_CHUNK_BYTES} from '../../../../src/checkpoint/sealed/chunk-buffers.ts'
import {cutArchive, cutPages} from '../../../../src/checkpoint/sealed/chunks.ts'
import {pieces} from '../../../support/sealed-checkpoint.ts'

const cut = async (archive: Uint8Array, pieceBytes = 100_000): Promise<Buffer[]> => {
  const chunks: Buffer[] = []
  for await (const chunk of cutArchive(pieces(archive, pieceBytes)))
    if (Buffer.isBuffer(chunk)) chunks.push(chunk)
  return chunks
}

const digests = (chunks: readonly Uint8Array[]) =>
  new Set(chunks.map((chunk) => createHash('sha256').update(chunk).digest('hex')))

const tar = (files: Readonly<Record<string, Uint8Array>>): Buffer =>
  Buffer.concat([
    ...Object.entries(files).flatMap(([path, content]) => [
      tarHeader(path, content.length),
      content,
      tarPadding(content.length),
    ]),
    TAR_END,
  ])

const small = Buffer.alloc(3000, 1)
const file = randomBytes(100_000)

test('pieces put together are the archive, and none is too large', async () => {
  const archive = tar({a: small, b: randomBytes(MAX_CHUNK_BYTES + 5000), c: Buffer.alloc(0), d: file})
  const chunks = await cut(archive)
  expect(Buffer.concat(chunks).equals(archive)).toBe(true)
  expect(Math.max(...chunks.map(({length}) => length))).toBeLessThanOrEqual(MAX_CHUNK_BYTES)
})

test('the cuts do not depend on how the stream comes', async () => {
  const archive = tar({a: small, b: file, c: small, d: randomBytes(70_000)})
  const expected = digests(await cut(archive))
  await fc.assert(
    fc.asyncProperty(fc.integer({min: 700, max: 200_000}), async (pieceBytes) => {
      expect(digests(await cut(archive, pieceBytes))).toEqual(expected)
    }),
    {numRuns: 10},
  )
})

test('what is no tar is cut all the same', async () => {
  for (const bytes of [Buffer.alloc(0), Buffer.alloc(100, 7), Buffer.alloc(MAX_CHUNK_BYTES + 1, 7)]) {
    expect(Buffer.concat(await cut(bytes)).equals(bytes)).toBe(true)
  }
})

test('a large file that stayed the same is a piece of its own, wherever it lies and whenever it was written', async () => {
  const before = digests(await cut(tar({log: small, big: file, 'pages-1.img': randomBytes(70_000)})))
  const moved = tar({log: Buffer.alloc(9000, 2), other: small, big: file, 'pages-1.img': randomBytes(80_000)})
  // The time in the header.
  moved.write('17', moved.indexOf('big') + 136)
  const shared = [...digests(await cut(moved))].filter((digest) => before.has(digest))
  expect(shared).toContain([...digests([Buffer.concat([file, tarPadding(file.length)])])][0])
})

test('a page more in the memory changes the pieces around it, not those after', async () => {
  // Noise, but the same each time: where the cuts are is not left to chance.
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const pages = noise.update(Buffer.alloc(10 * 2 ** 20))
  const more = Buffer.concat([pages.subarray(0, 4096 * 10), randomBytes(4096), pages.subarray(4096 * 10)])
  const [before, after] = [await cut(tar({p: pages})), await cut(tar({p: more}))]
  const shared = [...digests(after)].filter((digest) => digests(before).has(digest))
  expect(shared.length).toBeGreaterThanOrEqual(before.length - 2)
})

test('pages of a growing file are cut as those of the archive that it becomes part of, which goes on after them', async () => {
  const noise = createCipheriv('aes-128-ctr', Buffer.alloc(16), Buffer.alloc(16))
  const pages = noise.update(Buffer.alloc(9 * 2 ** 20))
  const archive = tar({a: small, p: pages, z: file})
  const expected = await cut(archive)
  const dataAt = archive.indexOf(pages.subarray(0, 4096))
  for (const partBytes of [4096, 40_960, 2 ** 20]) {
    const early: Buffer[] = []
    for await (const piece of cutPages(pieces(pages, partBytes))) early.push(Buffer.from(piece))
    expect(early.length).toBeGreaterThan(1)
    for (const count of [1, early.length]) {
      const run = {
        pieces: early.slice(0, count),
        sizeBytes: Buffer.concat(early.slice(0, count)).length,
      }
      const stream = async function* () {
        yield* pieces(archive.subarray(0, dataAt), 1000)
        yield run
        yield* pieces(archive.subarray(dataAt + run.sizeBytes), 100_000)
      }
      const found: Buffer[] = []
      for await (const piece of cutArchive<Buffer>(stream()))
        found.push(...(Buffer.isBuffer(piece) ? [piece] : piece.pieces))
      expect(Buffer.concat(found).equals(archive)).toBe(true)
      expect(digests(found)).toEqual(digests(expected))
    }
  }
})

test('what is said to be sealed is not larger than its member', async () => {
  const archive = tar({p: randomBytes(100_000)})
  const stream = async function* () {
    yield* pieces(archive.subarray(0, 512), 512)
    yield {pieces: [], sizeBytes: 2 ** 20}
  }
  const all = async (): Promise<void> => {
    for await (const _piece of cutArchive(stream()));
  }
  await expect(all()).rejects.toThrow(RangeError)
})
