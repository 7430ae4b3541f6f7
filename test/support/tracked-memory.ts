import {access, readdir, symlink, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {setTimeout} from 'node:timers/promises'
import type {Runc} from '../../src/programs/node-agent/runc.ts'
import {image, type Fields} from './criu-images.ts'

const ROUND_MS = 250
const PAGEMAP = 0x56084025
export const PAGE_BYTES = 4096
/** As CRIU has them, of pages that lie in the parent, and of those in the image. */
const [IN_PARENT, PRESENT] = [1, 4]
const START = 0x7f0000000000

/** Memory of a process whose writes the kernel tracks, and what CRIU makes of it. */
export class TrackedMemory {
  readonly #pages = new Map<number, Buffer>()
  #written = new Set<number>()

  write(page: number, content: string): void {
    this.#pages.set(page, Buffer.alloc(PAGE_BYTES, content))
    this.#written.add(page)
  }

  /** Given back to the kernel. */
  drop(page: number): void {
    this.#pages.delete(page)
  }

  /** All pages in the order of their addresses, as a dump without rounds has them. */
  get whole(): Buffer {
    return Buffer.concat(this.#order().map((page) => this.#pages.get(page) ?? Buffer.alloc(0)))
  }

  /** The pagemap and the file of pages; tracking begins again. */
  images(hasParent: boolean): Readonly<Record<string, Uint8Array>> {
    const entries: {page: number; count: number; flags: number}[] = []
    for (const page of this.#order()) {
      const flags = hasParent && !this.#written.has(page) ? IN_PARENT : PRESENT
      const last = entries.at(-1)
      if (last?.flags === flags && last.page + last.count === page) last.count += 1
      else entries.push({page, count: 1, flags})
    }
    const present = entries
      .filter(({flags}) => flags === PRESENT)
      .flatMap(({page, count}) => Array.from({length: count}, (_, index) => this.#pages.get(page + index)))
      .map((bytes) => bytes ?? Buffer.alloc(0))
    this.#written = new Set()
    const records = entries.map(({page, count, flags}): Fields => {
      const start = START + page * PAGE_BYTES
      const fields: Fields = [
        [1, start],
        [2, count],
        [4, flags],
      ]
      return flags === IN_PARENT
        ? [...fields.slice(0, 2), [3, 1], ...fields.slice(2), [5, count]]
        : [...fields, [5, count]]
    })
    return {'pagemap-1.img': image(PAGEMAP, [[1, 1]], ...records), 'pages-1.img': Buffer.concat(present)}
  }

  async dump(folder: string, parent: string | undefined): Promise<void> {
    if (parent !== undefined) {
      await access(join(folder, parent))
      await symlink(parent, join(folder, 'parent'))
    }
    for (const [name, bytes] of Object.entries(this.images(parent !== undefined)))
      await writeFile(join(folder, name), bytes, {flag: 'wx'})
    if ((await readdir(folder)).length === 0) throw new Error('nothing was written')
  }

  #order(): readonly number[] {
    return [...this.#pages.keys()].sort((one, other) => one - other)
  }
}

/** runc on a container with that memory; `before` is called ahead of each dump, as the container runs on, or fails. */
export const trackedRunc = (
  memory: TrackedMemory,
  before: (kind: string, round: number) => void = () => undefined,
): Runc & {readonly called: readonly string[]} => {
  const called: string[] = []
  return {
    called,
    prepare: (kind, _id, {images, parent}) =>
      Promise.resolve({
        run: async () => {
          called.push(kind)
          before(kind, called.length)
          await memory.dump(images, parent)
          // As one of a large memory takes: what is dumped in an instant needs no other round.
          if (kind === 'pre-dump') await setTimeout(ROUND_MS)
        },
        discard: () => Promise.resolve(),
      }),
  }
}
