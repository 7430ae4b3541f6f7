import {expect, test} from 'vitest'
import {mergedPages, type PagesOfRound} from '../../../../src/checkpoint/archive/merged-pages.ts'
import {parentLinks, roundsIn} from '../../../../src/checkpoint/archive/pre-copy.ts'
import {TrackedMemory} from '../../../support/tracked-memory.ts'

/** Numbers from 0 to 1, the same in each run. */
function numbers(seed: number): () => number {
  let state = seed
  return () => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
}

/** Rounds of a memory that is written to between them, and what is in each file of pages. */
class Rounds {
  readonly memory = new TrackedMemory()
  readonly list: PagesOfRound[] = []
  readonly #files = new Map<string, Uint8Array>()

  copy(): void {
    const images = this.memory.images(this.list.length > 0)
    const pages = `pre-${this.list.length + 1}/pages-1.img`
    this.#files.set(pages, images['pages-1.img'] ?? new Uint8Array())
    this.list.push({name: 'pagemap-1.img', pagemap: images['pagemap-1.img'] ?? new Uint8Array(), pages})
  }

  merged(): {readonly pages: Buffer; readonly pagemap: Buffer} {
    const {pages, pagemap} = mergedPages(this.list)
    const parts = pages.map(({file, at, sizeBytes}) => this.#files.get(file)?.subarray(at, at + sizeBytes))
    return {pages: Buffer.concat(parts.map((part) => part ?? new Uint8Array())), pagemap}
  }
}

test.for([1, 2, 3, 4, 5, 6, 7, 8])('the pages of all rounds are those that the process had: %i', (seed) => {
  const random = numbers(seed)
  const rounds = new Rounds()
  for (let page = 0; page < 300; page += 1) if (random() < 0.9) rounds.memory.write(page, `${page}`)
  rounds.copy()
  for (let round = 2; round <= 1 + (seed % 5); round += 1) {
    for (let page = 0; page < 340; page += 1) {
      const what = random()
      if (what < 0.1) rounds.memory.write(page, `${page} ${round}`)
      else if (what < 0.15) rounds.memory.drop(page)
    }
    rounds.copy()
  }
  const whole = rounds.memory.whole
  const {pages, pagemap} = rounds.merged()
  expect(pages.equals(whole)).toBe(true)
  // Read once more it says the same, and nothing of a parent.
  const again = mergedPages([{name: 'pagemap-1.img', pagemap, pages: 'pages-1.img'}])
  expect(again.pagemap.equals(pagemap)).toBe(true)
  expect(again.pages.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0)).toBe(whole.length)
})

test('a page that no round has is found, as is a pagemap that is cut off', () => {
  const rounds = new Rounds()
  rounds.memory.write(1, 'one')
  rounds.copy()
  const [first] = rounds.list
  rounds.memory.write(2, 'two')
  rounds.memory.images(true)
  rounds.copy()
  const code = 'CHECKPOINT_FAILED'
  expect(() => rounds.merged()).toThrow(
    expect.objectContaining({code, message: expect.stringContaining('0x7f0000002000') as string}),
  )
  const pagemap = first?.pagemap.subarray(0, -1) ?? new Uint8Array()
  expect(() => mergedPages([{name: 'pagemap-1.img', pagemap, pages: ''}])).toThrow(/cut off/)
  expect(() => mergedPages([{name: 'pagemap-1.img', pagemap: Buffer.alloc(20), pages: ''}])).toThrow(
    /invalid/,
  )
})

test('rounds are counted by the names of their folders, and CRIU finds each by a link to the one before', () => {
  expect(roundsIn(['pages-1.img', 'pre-2', 'pre-1', 'pre-10', 'prefix'])).toBe(2)
  expect(roundsIn(['pages-1.img'])).toBe(0)
  expect(() => roundsIn(['pre-1', 'pre-3'])).toThrow(expect.objectContaining({code: 'BLOB_TAMPERED'}))
  expect(parentLinks(0)).toEqual([])
  expect(parentLinks(3)).toEqual([
    {path: 'parent', to: 'pre-3'},
    {path: 'pre-2/parent', to: '../pre-1'},
    {path: 'pre-3/parent', to: '../pre-2'},
  ])
})
