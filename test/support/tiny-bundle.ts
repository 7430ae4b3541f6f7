import {createHash} from 'node:crypto'
import {rmSync} from 'node:fs'
import {cp, mkdir, mkdtemp, rm, writeFile} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {buildBundle} from '../../src/bundle/build.ts'
import type {BuildOptions} from '../../src/bundle/build.ts'
import {catalogueFor} from '../../src/bundle/catalogue.ts'
import {loadBundle} from '../../src/bundle/load.ts'
import type {BundleSource, ProducedBlob} from '../../src/bundle/source.ts'
import type {Bundle} from '../../src/bundle/types.ts'
import type {RunEvent} from '../../src/base/run-events.ts'

/** A folder that is gone at the end of the scope. */
export async function temporaryFolder(): Promise<{dir: string} & AsyncDisposable> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-test-'))
  return {dir, [Symbol.asyncDispose]: () => rm(dir, {recursive: true, force: true})}
}

/** Items of a bundle of the catalogue; `built`: of one built here, without images that only their authors publish. */
export function itemCount(kubernetes: string, {built = false} = {}): number {
  const {files, images, manifests, tools} = catalogueFor(kubernetes)
  const had = images.filter(({recipe}) => !built || !('published' in recipe))
  return [files, had, manifests, tools].reduce((sum, items) => sum + items.length, 0)
}

/** A source whose items are a few bytes each, with `mark` in all; `made` lists what was asked of it. */
export function tinySource(made: string[] = [], failing?: string, mark = ''): BundleSource {
  const blob = async (dir: string, text: string): Promise<ProducedBlob> => {
    const content = `${text}${mark}`
    const hex = createHash('sha256').update(content).digest('hex')
    await mkdir(dir, {recursive: true})
    await writeFile(join(dir, hex), content)
    return {path: join(dir, hex), digest: `sha256:${hex}`, sizeBytes: content.length, mediaType: 'text/plain'}
  }
  const note = (name: string): void => {
    if (name === failing) throw new Error(`${name} cannot be made`)
    made.push(name)
  }
  return {
    kind: 'go',
    reachable: () => Promise.resolve(true),
    has: () => true,
    inputs: (item) => Promise.resolve([item.name, mark]),
    file: async (item, {workDir}) => {
      note(item.name)
      const path = join(workDir, item.name)
      const objects = [{apiVersion: 'v1', kind: 'ConfigMap', metadata: {name: item.name}}]
      const content = item.kind === 'manifests' ? JSON.stringify(objects) : `content of ${item.name}${mark}`
      await writeFile(path, content)
      const packages =
        item.kind === 'archive'
          ? [
              {
                name: 'libc6',
                version: '2.41-1',
                source: 'Debian stable',
                sizeBytes: 3,
                sha256: 'a'.repeat(64),
              },
            ]
          : []
      return {path, source: 'test', version: item.version, packages}
    },
    image: async (item, {workDir}) => {
      note(item.name)
      const base = await blob(workDir, 'a layer that all images share')
      const layer = await blob(workDir, `layer of ${item.name}`)
      const manifest = await blob(workDir, `manifest of ${item.name}`)
      return {manifest, blobs: [base, layer], source: 'test', version: item.version, packages: []}
    },
  }
}

export interface TinyBuild {
  readonly dir: string
  readonly source: BundleSource
  readonly events?: RunEvent[]
  readonly overrides?: Partial<BuildOptions>
}

/** Builds a bundle of a few kilobytes below `dir`. */
export function buildTinyBundle({dir, source, events = [], overrides = {}}: TinyBuild): Promise<Bundle> {
  return buildBundle({
    kubernetes: '1.35.4',
    arch: 'amd64',
    source: 'go',
    dir: join(dir, 'bundle'),
    cacheDir: join(dir, 'cache'),
    packageRoot: join(import.meta.dirname, '../..'),
    report: (event) => events.push(event),
    signal: new AbortController().signal,
    environment: {},
    sources: {go: () => source, release: () => ({...source, reachable: () => Promise.resolve(false)})},
    ...overrides,
  })
}

let shared: Promise<Bundle> | undefined

/** One bundle of a few kilobytes for all that only read it: to build one takes longer than most tests. */
export function sharedTinyBundle(): Promise<Bundle> {
  const build = async (): Promise<Bundle> => {
    const dir = await mkdtemp(join(tmpdir(), 'clouder-tiny-'))
    process.once('exit', () => rmSync(dir, {recursive: true, force: true}))
    return buildTinyBundle({dir, source: tinySource()})
  }
  return (shared ??= build())
}

/** A copy of it, to be damaged. */
export async function copyOfTinyBundle(dir: string): Promise<Bundle> {
  await cp((await sharedTinyBundle()).dir, join(dir, 'bundle'), {recursive: true})
  return loadBundle(join(dir, 'bundle'))
}
