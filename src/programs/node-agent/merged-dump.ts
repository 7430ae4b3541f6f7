import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'
import {mergedPages, pagesIdOf, type PagesOfRound, type Slice} from '../../checkpoint/archive/merged-pages.ts'
import {roundName, roundsIn} from '../../checkpoint/archive/pre-copy.ts'

/** Files of a dump by their names in the folder of its images: what is in them, or where it is. */
export type MergedFiles = ReadonlyMap<string, Buffer | readonly Slice[]>

/**
 * Files of a dump after rounds of pre-copy that are other ones without: pagemaps, and the pages of all rounds, which lie
 * where they are (paths are below `images`). Undefined: there was no round. Throws as `roundsIn` and `mergedPages` do.
 */
export async function mergedDump(images: string): Promise<MergedFiles | undefined> {
  const names = (await readdir(images).catch(unlessMissing)) ?? []
  const rounds = roundsIn(names)
  if (rounds === 0) return undefined
  const files = new Map<string, Buffer | readonly Slice[]>()
  for (const name of names.filter((one) => /^pagemap-.*\.img$/.test(one))) {
    const own = await pagesOf(images, '', name)
    if (own === undefined) continue
    const found = [own]
    // As CRIU goes from parent to parent: one that does not know the process ends the search.
    for (let round = rounds; round > 0; round -= 1) {
      const before = await pagesOf(images, `${roundName(round)}/`, name)
      if (before === undefined) break
      found.unshift(before)
    }
    const {pagemap, pages} = mergedPages(found)
    files.set(name, pagemap)
    files.set(own.pages, pages)
  }
  return files
}

async function pagesOf(images: string, below: string, name: string): Promise<PagesOfRound | undefined> {
  const pagemap = await readFile(join(images, below, name)).catch(unlessMissing)
  const id = pagemap === undefined ? undefined : pagesIdOf(name, pagemap)
  return pagemap === undefined || id === undefined
    ? undefined
    : {name, pagemap, pages: `${below}pages-${id}.img`}
}
