import {expect, test} from 'vitest'
import {inOrder} from '../../../../src/checkpoint/sealed/in-order.ts'
import {sealCheckpoint} from '../../../../src/checkpoint/sealed/seal.ts'
import {memoryBlobs} from '../../../support/memory-blobs.ts'
import {metadataOf, newKeyring} from '../../../support/sealed-checkpoint.ts'

const {signal} = new AbortController()

async function collect<Result>(results: AsyncIterable<Result>): Promise<Result[]> {
  const collected: Result[] = []
  for await (const result of results) collected.push(result)
  return collected
}

/** Work that ends when the test says so. */
function deferred() {
  const ends: (() => void)[] = []
  let atOnce = 0
  let most = 0
  const work = async (item: number) => {
    atOnce += 1
    most = Math.max(most, atOnce)
    await new Promise<void>((resolve) => ends.push(resolve))
    atOnce -= 1
    return item * 10
  }
  return {work, ends, most: () => most}
}

test('results come in the order of the items, and no more are at work than were asked for', async () => {
  const {work, ends, most} = deferred()
  const results = collect(inOrder([1, 2, 3, 4, 5, 6, 7], 3, signal, work))
  // The last one that began ends first.
  for (let ended = 0; ended < 7;) {
    await new Promise(setImmediate)
    for (let end = ends.pop(); end !== undefined; end = ends.pop(), ended += 1) end()
  }
  expect(await results).toEqual([10, 20, 30, 40, 50, 60, 70])
  expect(most()).toBe(3)
})

test('one that fails stops the others, and is what is thrown', async () => {
  const stopped: number[] = []
  const results = inOrder([1, 2, 3], 3, signal, async (item, either) => {
    if (item === 1) throw new TypeError('the first failed')
    await new Promise<void>((resolve) => either.addEventListener('abort', () => resolve()))
    stopped.push(item)
  })
  await expect(collect(results)).rejects.toThrow('the first failed')
  expect(stopped).toEqual([2, 3])
})

test('whoever takes no more stops what is under way', async () => {
  const stopped: number[] = []
  const results = inOrder([1, 2, 3], 2, signal, async (item, either) => {
    if (item === 2) await new Promise<void>((resolve) => either.addEventListener('abort', () => resolve()))
    if (either.aborted) stopped.push(item)
    return item
  })
  for await (const result of results) {
    expect(result).toBe(1)
    break
  }
  expect(stopped).toEqual([2])
})

test('an archive is read no faster than its pieces are put', async () => {
  const blobs = memoryBlobs()
  let [readBytes, ahead] = [0, 0]
  const archive = async function* () {
    for (let at = 0; at < 32; at += 1) {
      const block = Buffer.alloc(2 ** 20, at)
      readBytes += block.length
      yield await Promise.resolve(block)
    }
  }
  const {keys, signer} = await newKeyring()
  let putBytes = 0
  const {sizeBytes} = await sealCheckpoint({
    metadata: metadataOf(['app']),
    archives: new Map([['app', archive]]),
    keys,
    signer,
    store: {
      ...blobs,
      put: async (blob) => {
        const result = await blobs.put(blob)
        putBytes += 4 * 2 ** 20
        ahead = Math.max(ahead, readBytes - putBytes)
        return result
      },
    },
    name: 'default-web',
    signal,
  })
  expect(sizeBytes).toBe(32 * 2 ** 20)
  // Four pieces at work, and the one that is being read.
  expect(ahead).toBeLessThanOrEqual(5 * 4 * 2 ** 20)
})

test('a sealing that is given up says so, and leaves no checkpoint', async () => {
  const blobs = memoryBlobs()
  const stop = new AbortController()
  const archive = async function* () {
    yield await Promise.resolve(Buffer.alloc(5 * 2 ** 20, 1))
    stop.abort(new TypeError('given up'))
    yield Buffer.alloc(5 * 2 ** 20, 2)
  }
  const {keys, signer} = await newKeyring()
  const sealing = sealCheckpoint({
    metadata: metadataOf(['app']),
    archives: new Map([['app', archive]]),
    keys,
    signer,
    store: blobs,
    name: 'default-web',
    signal: stop.signal,
  })
  await expect(sealing).rejects.toThrow('given up')
  expect(await blobs.listManifests(signal)).toEqual([])
})
