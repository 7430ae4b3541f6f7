import {execFile} from 'node:child_process'
import {mkdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {writeImageTar} from './image-tar.ts'

const run = promisify(execFile)

/** As a pod names it. */
export const PAGE_WRITER_IMAGE = 'clouder.test/page-writer:1'

/** What the program says of its pages; `bad`: they do not hold what was written to them last. */
export interface WrittenPages {
  readonly pages: number
  readonly writes: number
  readonly bad: number
}

/** Compiles the program that knows what each of its pages has to hold into a folder, as `page-writer`. */
export async function buildPageWriter(folder: string): Promise<string> {
  const program = join(folder, 'page-writer')
  const env = {...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off'}
  await run('go', ['build', '-o', program, '.'], {cwd: join(import.meta.dirname, 'page-writer'), env})
  return program
}

/** An image of it, as `image.tar` in a folder; `words` are its arguments. */
export async function pageWriterImage(folder: string, words: readonly string[]): Promise<void> {
  const blobDir = join(folder, 'blobs')
  await mkdir(blobDir)
  const file = await buildPageWriter(folder)
  const image = {
    name: PAGE_WRITER_IMAGE,
    arch: 'amd64',
    entrypoint: ['/page-writer'],
    command: words,
  } as const
  const tree = [{path: 'page-writer', file, mode: 0o755}]
  await writeImageTar(image, tree, {blobDir, path: join(folder, 'image.tar')}, new AbortController().signal)
  await rm(blobDir, {recursive: true})
}

/** What it answers to HTTP requests, after `before` in the same line. */
export function writtenPagesIn(output: string, before = ''): WrittenPages {
  const [, pages, writes, bad] =
    new RegExp(`^${before}pages=(\\d+) writes=(\\d+) bad=(\\d+)$`, 'm').exec(output) ?? []
  return {pages: Number(pages), writes: Number(writes), bad: Number(bad)}
}
