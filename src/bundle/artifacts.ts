import {createReadStream, createWriteStream, existsSync} from 'node:fs'
import {copyFile, link, mkdir, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {createGzip} from 'node:zlib'
import {z} from 'zod'
import type {CatalogueBlob, CatalogueImage, CatalogueItem} from './catalogue-items.ts'
import {Digester, moveFolder, sha256Of} from './digest.ts'
import type {BundleSource, SourceContext, UsedPackage} from './source.ts'
import {
  fileItemSchema,
  imageItemSchema,
  manifestsItemSchema,
  packageItemSchema,
  toolItemSchema,
} from './types.ts'

const usedPackageSchema = packageItemSchema.omit({usedBy: true, kind: true})

const artifactSchema = z.strictObject({
  item: z.discriminatedUnion('kind', [
    fileItemSchema.extend({kind: z.literal('binary')}),
    fileItemSchema.extend({kind: z.literal('archive')}),
    imageItemSchema,
    manifestsItemSchema,
    toolItemSchema,
  ]),
  /** Path below the artifact's folder -> path below a bundle. */
  contents: z.record(z.string(), z.string()),
  packages: z.array(usedPackageSchema),
})

/** A finished item of a bundle with its content, kept between builds. */
export type Artifact = Readonly<z.output<typeof artifactSchema>> & {readonly dir: string}

// Part of every key: a change of how artifacts are made makes all of them anew.
const FORMAT = '1'
const GZIP_LEVEL = 6
const SUFFIXES = {binary: '', archive: '.tar', tool: '', manifests: '.json'}

/** The key of an item: equal inputs, equal key. */
export async function artifactKey(
  item: CatalogueItem,
  source: BundleSource,
  context: SourceContext,
): Promise<string> {
  const inputs = await source.inputs(item, context)
  return sha256Of(JSON.stringify([FORMAT, context.arch, source.kind, item, inputs]))
}

/** Throws what zod throws when the kept description is not one of ours. */
export async function loadArtifact(artifactsDir: string, key: string): Promise<Artifact | undefined> {
  const dir = join(artifactsDir, key)
  const description = join(dir, 'artifact.json')
  if (!existsSync(description)) return undefined
  return {...artifactSchema.parse(JSON.parse(await readFile(description, 'utf8'))), dir}
}

/** Has the source produce the item and keeps the result under the key, at once or not at all. */
export async function makeArtifact(
  item: CatalogueItem,
  key: string,
  source: BundleSource,
  artifactsDir: string,
  context: SourceContext,
): Promise<Artifact> {
  await mkdir(artifactsDir, {recursive: true})
  const partial = await mkdtemp(join(artifactsDir, `.partial-${context.arch}-`))
  try {
    const made =
      item.kind === 'image'
        ? await keepImage(item, source, partial, context)
        : await keepFile(item, source, partial, context)
    await writeFile(join(partial, 'artifact.json'), JSON.stringify(made, null, 2))
    const dir = join(artifactsDir, key)
    await moveFolder(partial, dir)
    return {...made, dir}
  } finally {
    await rm(partial, {recursive: true, force: true})
  }
}

type Made = Omit<Artifact, 'dir'>

async function keepFile(
  item: CatalogueBlob,
  source: BundleSource,
  dir: string,
  context: SourceContext,
): Promise<Made> {
  const produced = await source.file(item, context)
  context.progress(`compressing ${item.name}`)
  const content = new Digester()
  const compressed = new Digester()
  await pipeline(
    createReadStream(produced.path, {highWaterMark: 1 << 20}),
    content,
    createGzip({level: GZIP_LEVEL}),
    compressed,
    createWriteStream(join(dir, 'content')),
    {signal: context.signal},
  )
  const {sha256, sizeBytes} = compressed.digest()
  const path = `files/${item.name}${SUFFIXES[item.kind]}.gz`
  const {version, packages} = produced
  const described = {
    kind: item.kind,
    name: item.name,
    version,
    source: produced.source,
    path,
    sizeBytes,
    sha256,
  }
  return {
    item: {...described, contentSha256: content.digest().sha256},
    contents: {content: path},
    packages: [...packages],
  }
}

async function keepImage(
  item: CatalogueImage,
  source: BundleSource,
  dir: string,
  context: SourceContext,
): Promise<Made> {
  const produced = await source.image(item, context)
  const contents: Record<string, string> = {}
  const all = [produced.manifest, ...produced.blobs]
  // An image may name one layer twice.
  const blobs = [...new Map(all.map((blob) => [blob.digest, blob])).values()]
  for (const {path, digest} of blobs) {
    const name = digest.slice('sha256:'.length)
    await placeFile(path, join(dir, name))
    contents[name] = `oci/blobs/sha256/${name}`
  }
  return {
    item: {
      kind: 'image',
      name: item.name,
      version: produced.version,
      source: produced.source,
      reference: item.reference,
      manifestDigest: produced.manifest.digest,
      manifestType: produced.manifest.mediaType,
      blobs: blobs.map(({digest, sizeBytes}) => ({digest, sizeBytes})),
      sizeBytes: blobs.reduce((sum, blob) => sum + blob.sizeBytes, 0),
      ...(item.addon === undefined ? {} : {addon: item.addon}),
    },
    contents,
    packages: [...produced.packages],
  }
}

/** A second name for the same content, or a copy where the file systems differ. */
async function placeFile(from: string, to: string): Promise<void> {
  try {
    await link(from, to)
  } catch (error) {
    if (existsSync(to)) return
    if (!(error instanceof Error)) throw error
    await copyFile(from, to)
  }
}

/** Packages of several artifacts, each once with the names of the items that hold its files. */
export function gatherPackages(
  artifacts: readonly Artifact[],
): readonly (UsedPackage & {readonly usedBy: string[]})[] {
  const byDigest = new Map<string, UsedPackage & {readonly usedBy: string[]}>()
  for (const {item, packages} of artifacts) {
    for (const used of packages) {
      const known = byDigest.get(used.sha256) ?? {...used, usedBy: []}
      known.usedBy.push(item.name)
      byDigest.set(used.sha256, known)
    }
  }
  return [...byDigest.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}
