import {createSecretKey, randomBytes} from 'node:crypto'
import {expect, test} from 'vitest'
import {pieceCipher} from '../../../../src/checkpoint/sealed/pieces.ts'
import {threadedCiphers} from '../../../../src/programs/node-agent/piece-threads.ts'

const SCRIPT = new URL('../../../support/piece-thread.ts', import.meta.url)
const dataKey = createSecretKey(randomBytes(32))
const SIZES = [10, 3_000_000, 4 * 2 ** 20, 70_000, 2_000_000, 0]

test.each([
  ['encrypted', dataKey],
  ['in clear', undefined],
])('threads seal to the same bytes as this one, and open them, small and large: %s', async (_, key) => {
  const [threads, here] = [threadedCiphers(SCRIPT, 2)(key), pieceCipher(key)]
  const plains = SIZES.map((size, at) => (at % 2 === 0 ? randomBytes(size) : Buffer.alloc(size, 'text ')))
  const sealed = await Promise.all(plains.map((plain) => threads.seal(Buffer.from(plain), 'chunk')))
  expect(sealed.map(({digest}) => digest)).toEqual(
    await Promise.all(plains.map(async (plain) => (await here.seal(plain, 'chunk')).digest)),
  )
  const opened = await Promise.all(
    sealed.map((piece, at) => threads.open({...piece, sizeBytes: SIZES[at] ?? 0, kind: 'chunk'})),
  )
  expect(opened.map((bytes, at) => bytes.equals(plains[at] ?? Buffer.from('none')))).toEqual(
    SIZES.map(() => true),
  )
})

test('a piece that was changed is told as that, and others are not held up', async () => {
  const cipher = threadedCiphers(SCRIPT, 1)(dataKey)
  const {bytes, ...sealed} = await cipher.seal(randomBytes(2_000_000), 'chunk')
  const changed = Buffer.from(bytes)
  changed[100] = (changed[100] ?? 0) ^ 1
  const opening = cipher.open({...sealed, bytes: changed, sizeBytes: 2_000_000, kind: 'chunk'})
  const other = cipher.open({...sealed, bytes, sizeBytes: 2_000_000, kind: 'chunk'})
  await expect(opening).rejects.toMatchObject({code: 'BLOB_TAMPERED'})
  expect(await other).toHaveLength(2_000_000)
})

test('a thread that ends fails what it was asked for, and another one is started', async () => {
  const cipher = threadedCiphers(new URL('data:text/javascript,process.exit(3)'), 1)(dataKey)
  for (const _ of [1, 2])
    await expect(cipher.seal(randomBytes(100), 'chunk')).rejects.toThrow(/exited with code 3/)
})
