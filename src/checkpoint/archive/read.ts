import {chmod, mkdir} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {z} from 'zod'
import {CheckpointError} from '../errors.ts'
import {heldPaths, type HeldPath} from './criu-held.ts'
import {imageContents, isReadImage, type ImageContents} from './criu-images.ts'
import {ociSpecSchema, type OciSpec} from './oci-spec.ts'
import {usedResources, type UsedResources} from './rlimits.ts'
import {writeSparse} from './sparse-file.ts'
import {tarMembers, type TarMember} from './tar.ts'
import {volumeOfMember, type PackedVolume} from './volumes.ts'

/** Largest member that is read into memory: the JSON files, and small images. */
const MAX_TEXT_BYTES = 16 * 1024 * 1024

const configSchema = z.looseObject({
  id: z.string(),
  rootfsImageName: z.string(),
  /** `sha256:…`, or `registry/name@sha256:…`. */
  rootfsImageRef: z.string(),
})
const statusSchema = z.looseObject({metadata: z.looseObject({name: z.string()})})

/** What an archive of containerd says of the container that it was made of. */
export interface ArchiveFacts {
  readonly container: string
  /** Image as the pod named it. */
  readonly image: string
  /** `sha256:…` of the image, as the runtime told it. */
  readonly imageDigest: string
  readonly spec: OciSpec
  /** Paths inside the container that it had deleted. */
  readonly deleted: readonly string[]
}

/** What a person wants to know of an archive. */
export interface ArchiveContents extends ImageContents {
  /** Of CRIU's images alone, and of the files that the container had changed. */
  readonly imageBytes: number
  readonly filesBytes: number
  /** What a restore opens again by its path. */
  readonly held: readonly HeldPath[]
  readonly used: UsedResources
  /** Volumes of the pod whose contents it has. */
  readonly volumes: readonly PackedVolume[]
}

/** What may be written at most; holes do not count. */
export interface ArchiveBounds {
  readonly allBytes: number
  /** Of the tar of files that the container had changed. */
  readonly filesBytes: number
}

export interface UnpackedArchive extends ArchiveFacts {
  /** Folder of CRIU's images. */
  readonly imageDir: string
  /** A tar of files that the container had changed; absent: none. */
  readonly changes?: string
}

/**
 * Reads what an archive says of its container, and what its images hold. The stream is an uncompressed tar and is read
 * to its end. Throws CheckpointError BLOB_TAMPERED for what is no whole archive of a container.
 */
export async function readArchive(
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
): Promise<ArchiveFacts & {readonly contents: ArchiveContents}> {
  const texts = new Map<string, string>()
  const images = new Map<string, Uint8Array>()
  const bytes = {imageBytes: 0, filesBytes: 0}
  const volumes: PackedVolume[] = []
  await eachMember(content, signal, async (path, member) => {
    const {sizeBytes} = member
    if (TEXTS.has(path)) texts.set(path, (await bytesOf(path, member)).toString())
    if (path === CHANGES) bytes.filesBytes += sizeBytes
    const volume = volumeOfMember(path)
    if (volume !== undefined) volumes.push(volume)
    if (!path.startsWith(IMAGES)) return
    bytes.imageBytes += sizeBytes
    const name = path.slice(IMAGES.length)
    if (isReadImage(name) && sizeBytes <= MAX_TEXT_BYTES) images.set(name, await bytesOf(path, member))
  })
  const contents = {
    ...imageContents(images),
    ...bytes,
    held: heldPaths(images),
    used: usedResources(images),
    volumes,
  }
  return {...factsOf(texts), contents}
}

/**
 * Unpacks an archive into a folder that is made for it, with files and folders that only the owner may read. No path
 * leads out of it, and nothing but files and folders is made; runs of zeros are holes. Throws CheckpointError
 * BLOB_TAMPERED, TOO_LARGE; what was unpacked until then is the caller's to remove.
 */
export async function unpackArchive(
  content: AsyncIterable<Uint8Array>,
  dir: string,
  signal: AbortSignal,
  most: ArchiveBounds = {allBytes: Number.POSITIVE_INFINITY, filesBytes: Number.POSITIVE_INFINITY},
): Promise<UnpackedArchive> {
  await mkdir(dir, {recursive: true, mode: 0o700})
  await chmod(dir, 0o700)
  const texts = new Map<string, string>()
  const paths = new Set<string>()
  let written = {all: 0, files: 0}
  await eachMember(content, signal, async (path, member) => {
    if (paths.has(path)) throw notWhole(`it contains ${path} twice`)
    paths.add(path)
    if (TEXTS.has(path)) return void texts.set(path, (await bytesOf(path, member)).toString())
    await mkdir(join(dir, dirname(path)), {recursive: true, mode: 0o700})
    const before = written
    await writeSparse(join(dir, path), member.content, signal, (bytes) => {
      written = {all: before.all + bytes, files: before.files + (path === CHANGES ? bytes : 0)}
      if (written.all > most.allBytes)
        throw tooLarge(`it is larger than the free disk space of the node, ${most.allBytes} bytes`)
      if (written.files > most.filesBytes)
        throw tooLarge(
          `its changed files are larger than its ephemeral-storage limit, ${most.filesBytes} bytes`,
        )
    })
  })
  return {
    ...factsOf(texts),
    imageDir: join(dir, 'checkpoint'),
    ...(paths.has(CHANGES) ? {changes: join(dir, CHANGES)} : {}),
  }
}

const IMAGES = 'checkpoint/'
const CHANGES = 'rootfs-diff.tar'
const CONFIG = 'config.dump'
const SPEC = 'spec.dump'
const STATUS = 'status.dump'
const DELETED = 'deleted.files'
/** Read into memory, not unpacked. */
const TEXTS: ReadonlySet<string> = new Set([CONFIG, SPEC, STATUS, DELETED])

async function eachMember(
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  take: (path: string, member: TarMember) => Promise<void>,
): Promise<void> {
  for await (const member of tarMembers(content)) {
    signal.throwIfAborted()
    const {path, kind} = member
    if (kind === 'file') await take(safePath(path), member)
    else if (kind === 'other')
      throw notWhole(`it contains ${JSON.stringify(path)}, which is neither a file nor a directory`)
  }
}

/** The path of a member, which stays inside the folder that it is unpacked to. */
function safePath(name: string): string {
  const parts = name.replace(/^(\.\/)+/, '').split('/')
  if (!parts.some((part) => part === '' || part === '.' || part === '..' || part.includes('\0')))
    return parts.join('/')
  throw notWhole(`it contains ${JSON.stringify(name)}, a path outside of the archive`)
}

async function bytesOf(path: string, {sizeBytes, content}: TarMember): Promise<Buffer> {
  if (sizeBytes > MAX_TEXT_BYTES)
    throw notWhole(`its ${path} has ${sizeBytes} bytes, expected at most ${MAX_TEXT_BYTES}`)
  const parts: Uint8Array[] = []
  // A source may use its memory for the next part.
  for await (const part of content) parts.push(Buffer.from(part))
  return Buffer.concat(parts)
}

function factsOf(texts: ReadonlyMap<string, string>): ArchiveFacts {
  const config = parsed(configSchema, CONFIG, texts)
  const [imageDigest] = /sha256:[0-9a-f]{64}$/.exec(config.rootfsImageRef) ?? []
  if (imageDigest === undefined) throw notWhole(`its image ${config.rootfsImageRef} has no digest`)
  return {
    container: parsed(statusSchema, STATUS, texts).metadata.name,
    image: config.rootfsImageName,
    imageDigest,
    spec: parsed(ociSpecSchema, SPEC, texts),
    deleted: texts.has(DELETED) ? parsed(z.array(z.string()), DELETED, texts) : [],
  }
}

function parsed<Output>(schema: z.ZodType<Output>, path: string, texts: ReadonlyMap<string, string>): Output {
  const text = texts.get(path)
  if (text === undefined) throw notWhole(`it does not contain ${path}`)
  try {
    return schema.parse(JSON.parse(text))
  } catch (error) {
    throw notWhole(`its ${path} does not have the format of containerd`, error)
  }
}

const tooLarge = (why: string): CheckpointError =>
  new CheckpointError('TOO_LARGE', `the checkpoint cannot be unpacked: ${why}`)

const notWhole = (why: string, cause?: unknown): CheckpointError =>
  new CheckpointError(
    'BLOB_TAMPERED',
    `invalid container archive: ${why}`,
    cause === undefined ? {} : {cause},
  )
