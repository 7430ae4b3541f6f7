import {createSecretKey, randomBytes} from 'node:crypto'
import fc from 'fast-check'
import {expect, test} from 'vitest'
import {ChunkBuffers, copyInto} from '../../../../src/checkpoint/sealed/chunk-buffers.ts'
import {
  digestOf,
  pieceCipher,
  type PieceCipher,
  type PieceCompression,
  type PieceKind,
} from '../../../../src/checkpoint/sealed/pieces.ts'

/** What is opened is taken over. */
const keeping = (one: PieceCipher): PieceCipher => ({
  seal: (plain, kind) => one.seal(plain, kind),
  open: (piece) => one.open({...piece, bytes: Buffer.from(piece.bytes)}),
})
const cipher = keeping(pieceCipher(createSecretKey(randomBytes(32))))
const clear = keeping(pieceCipher(undefined))
/** Nonce and tag. */
const OVERHEAD_BYTES = 28

/** Random bytes, of which every so many-th stretch of a page is zeros: between noise and nothing. */
const plainOf = (sizeBytes: number, noiseOf: number): Buffer => {
  const plain = randomBytes(sizeBytes)
  for (let at = 0; at < sizeBytes; at += 4096)
    if ((at / 4096) % 8 >= noiseOf) plain.fill(0, at, Math.min(at + 4096, sizeBytes))
  return plain
}
const pieces = fc
  .record({sizeBytes: fc.nat({max: 300_000}), noiseOf: fc.nat({max: 8})})
  .map(({sizeBytes, noiseOf}) => plainOf(sizeBytes, noiseOf))

test('whatever a piece is of, it opens to what it was, and is never larger than it and what encrypts it', async () => {
  await fc.assert(
    fc.asyncProperty(pieces, async (plain) => {
      const kept = Buffer.from(plain)
      for (const [one, overhead] of [
        [cipher, OVERHEAD_BYTES],
        [clear, 0],
      ] as const) {
        const sealed = await one.seal(Buffer.from(kept), 'chunk')
        expect(sealed.digest).toBe(digestOf(sealed.bytes))
        expect(sealed.bytes.length).toBeLessThanOrEqual(kept.length + overhead)
        const opened = await one.open({...sealed, sizeBytes: kept.length, kind: 'chunk'})
        expect(opened.equals(kept)).toBe(true)
      }
    }),
    {numRuns: 60},
  )
})

test('what does not compress is stored as it is, and what does is compressed, found from samples or not', async () => {
  for (const sizeBytes of [5000, 65_536, 65_537, 4 * 2 ** 20]) {
    expect(await cipher.seal(randomBytes(sizeBytes), 'chunk')).toMatchObject({compression: 'none'})
    const half = await cipher.seal(plainOf(sizeBytes, 1), 'chunk')
    expect(half).toMatchObject({compression: 'zstd'})
    expect(half.bytes.length).toBeLessThan(sizeBytes * 0.9)
  }
})

const KINDS: readonly PieceKind[] = ['chunk', 'table']
const COMPRESSIONS: readonly PieceCompression[] = ['zstd', 'none']

test.each([
  ['compressed', plainOf(200_000, 2)],
  ['stored as it is', randomBytes(200_000)],
])('a piece that is %s opens as nothing else, and not when any part of it is another', async (_, plain) => {
  const sealed = await cipher.seal(Buffer.from(plain), 'chunk')
  const right = {...sealed, sizeBytes: plain.length, kind: 'chunk' as const}
  expect((await cipher.open(right)).equals(plain)).toBe(true)
  for (const kind of KINDS)
    for (const compression of COMPRESSIONS) {
      if (kind === right.kind && compression === right.compression) continue
      const opening = cipher.open({...right, kind, compression})
      await expect(opening).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
    }
  for (const sizeBytes of [0, plain.length - 1, plain.length + 1])
    await expect(cipher.open({...right, sizeBytes})).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  // Nonce, first and last bytes of the text, both sides of a slice, tag; with the old digest and with one that fits.
  const {length} = sealed.bytes
  for (const at of [0, 11, 12, 12 + 65_535, 12 + 65_536, length - 17, length - 16, length - 1]) {
    if (at >= length) continue
    const bytes = Buffer.from(sealed.bytes)
    bytes[at] = (bytes[at] ?? 0) ^ 1
    for (const digest of [sealed.digest, digestOf(bytes)])
      await expect(cipher.open({...right, bytes, digest})).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  }
  for (const cut of [0, 11, 27, 28, length - 1]) {
    const bytes = sealed.bytes.subarray(0, cut)
    for (const digest of [sealed.digest, digestOf(bytes)])
      await expect(cipher.open({...right, bytes, digest})).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  }
})

test('another piece under the same key is not taken for it', async () => {
  const [one, other] = await Promise.all(
    [randomBytes(5000), randomBytes(5000)].map((plain) => cipher.seal(plain, 'chunk')),
  )
  if (one === undefined || other === undefined) throw new TypeError('two were sealed')
  const swapped = {...one, bytes: other.bytes, sizeBytes: 5000, kind: 'chunk' as const}
  await expect(cipher.open(swapped)).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
})

test('in clear too a piece is what its digest says, and opens as it was sealed', async () => {
  for (const plain of [plainOf(100_000, 2), randomBytes(100_000)]) {
    const sealed = await clear.seal(Buffer.from(plain), 'chunk')
    const right = {...sealed, sizeBytes: plain.length, kind: 'chunk' as const}
    const compression = sealed.compression === 'none' ? 'zstd' : 'none'
    await expect(clear.open({...right, compression})).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
    const bytes = Buffer.from(sealed.bytes)
    bytes[50] = (bytes[50] ?? 0) ^ 1
    await expect(clear.open({...right, bytes})).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  }
})

test('a piece in a buffer of a sealing is sealed where it lies, to the same as anywhere else', async () => {
  const buffers = new ChunkBuffers()
  for (const plain of [randomBytes(300_000), plainOf(300_000, 1), Buffer.alloc(0)])
    for (const one of [cipher, clear]) {
      const room = buffers.take().subarray(0, plain.length)
      room.set(plain)
      const there = await one.seal(room, 'chunk')
      const elsewhere = await one.seal(Buffer.from(plain), 'chunk')
      expect(there.digest).toBe(elsewhere.digest)
      expect(there.bytes.equals(elsewhere.bytes)).toBe(true)
      expect(there.bytes.buffer).toBe(room.buffer)
      buffers.release(there.bytes)
      // The same again, and no other as long as there is one.
      const [again, other] = [buffers.take(), buffers.take()]
      expect(again.buffer).toBe(room.buffer)
      expect(other.buffer).not.toBe(room.buffer)
      buffers.release(again)
    }
})

test('a buffer that is taken back twice is given to one only, and no more are kept than a few pieces need', () => {
  const buffers = new ChunkBuffers()
  const piece = buffers.take()
  buffers.release(piece)
  buffers.release(piece)
  expect(buffers.take().buffer).toBe(piece.buffer)
  expect(buffers.take().buffer).not.toBe(piece.buffer)
  const many = Array.from({length: 40}, () => buffers.take())
  for (const one of many) buffers.release(one)
  const kept = new Set(many.map(({buffer}) => buffer))
  expect(many.filter(() => kept.has(buffers.take().buffer))).toHaveLength(16)
})

test('bytes are copied to where they belong, once, and refused where there is no room', () => {
  const target = Buffer.from(new SharedArrayBuffer(10))
  copyInto(target, Buffer.from('abc'), 6)
  copyInto(target, Buffer.alloc(0), 10)
  expect([...target]).toEqual([0, 0, 0, 0, 0, 0, 97, 98, 99, 0])
  expect(() => copyInto(target, Buffer.from('abc'), 8)).toThrow(RangeError)
})

test('a nonce depends on every bit of the piece, on its length and on the key', async () => {
  const plain = randomBytes(100_000)
  const key = createSecretKey(randomBytes(32))
  const nonceOf = async (bytes: Buffer, of = key): Promise<string> =>
    (await pieceCipher(of).seal(Buffer.from(bytes), 'chunk')).bytes.toString('hex', 0, 12)
  const nonces = [await nonceOf(plain), await nonceOf(plain, createSecretKey(randomBytes(32)))]
  for (const at of [0, 65_535, 65_536, 99_999]) {
    const other = Buffer.from(plain)
    other[at] = (other[at] ?? 0) ^ 0x80
    nonces.push(await nonceOf(other))
  }
  nonces.push(await nonceOf(plain.subarray(0, -1)), await nonceOf(Buffer.concat([plain, Buffer.alloc(1)])))
  expect(new Set(nonces).size).toBe(nonces.length)
  expect(await nonceOf(plain)).toBe(nonces[0])
})
