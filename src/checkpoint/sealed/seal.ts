import {CheckpointError} from '../errors.ts'
import type {BlobStore, Digest} from '../stores/blob-store.ts'
import {chunkBuffers} from './chunk-buffers.ts'
import {cutArchive, MAX_CHUNK_BYTES} from './chunks.ts'
import {inOrder} from './in-order.ts'
import {scopedKey, type SealingKeys} from './keys.ts'
import {writeManifest} from './manifest.ts'
import {digestOf, pieceCipher, type Ciphers, type PieceCipher, type PieceKind} from './pieces.ts'
import type {Signer} from './signature.ts'
import type {CheckpointMetadata, Envelope, Table} from '../../api/sealed-checkpoint.ts'

/** Pieces that are sealed and put at once: bounds the memory to a few times that many chunks. */
const AT_ONCE = 4

type ContainerMetadata = CheckpointMetadata['containers'][number]

/** Metadata whose sizes of archives are yet to be found: `sealCheckpoint` does. */
export type UnsealedMetadata = Omit<CheckpointMetadata, 'containers'> & {
  readonly containers: readonly Omit<ContainerMetadata, 'archiveBytes' | 'archiveSha256'>[]
}

export interface SealProgress {
  readonly container: string
  /** Of all archives, so far: read, sealed, and sealed that was not in the store yet. */
  readonly readBytes: number
  readonly storedBytes: number
  readonly newBytes: number
}

export interface Sealed {
  /** Of the manifest: what a checkpoint is opened by. */
  readonly digest: Digest
  /** Open, sealed, and sealed that was not in the store yet. */
  readonly sizeBytes: number
  readonly storedBytes: number
  readonly newBytes: number
  readonly metadata: CheckpointMetadata
}

export interface SealOptions {
  readonly metadata: UnsealedMetadata
  /** Per container of the metadata its archive, an uncompressed tar; read once. */
  readonly archives: ReadonlyMap<string, () => AsyncIterable<Uint8Array>>
  readonly keys: SealingKeys
  readonly signer: Signer
  readonly store: BlobStore
  /** Under which people find it: `<namespace>-<checkpoint>`. */
  readonly name: string
  readonly signal: AbortSignal
  /** Every blob is read back from the store beside the sealing of the next ones, and is to be what was put there. */
  readonly readBack?: boolean
  /** Default: all in this thread. */
  readonly ciphers?: Ciphers
  readonly onProgress?: (progress: SealProgress) => void
}

/**
 * Seals archives into a store: in pieces, compressed, encrypted, named by digest, under a signed manifest that comes
 * last. What is there already is not put again. Done twice with the same content and keys it puts nothing but a
 * manifest. Throws CheckpointError STORE_UNREACHABLE, STORE_REFUSED; with `readBack` BLOB_MISSING, BLOB_TAMPERED.
 */
export async function sealCheckpoint(options: SealOptions): Promise<Sealed> {
  const {keys, signer, store, name, signal} = options
  const {ciphers = pieceCipher} = options
  const {namespace} = options.metadata
  const sealing = new Sealing(
    options,
    ciphers(keys.encryption === 'none' ? undefined : scopedKey(keys.dataKey, namespace)),
  )
  const containers: ContainerMetadata[] = []
  const archives: Record<string, number[]> = {}
  for (const container of options.metadata.containers) {
    const {indices, ...found} = await sealing.archive(container.name)
    containers.push({...container, ...found})
    archives[container.name] = indices
  }
  const metadata = {...options.metadata, containers}
  const table = await sealing.put(
    Buffer.from(JSON.stringify({metadata, archives} satisfies Table)),
    'table',
    signal,
  )
  const envelope: Envelope = {
    version: 2,
    keys: keys.encryption === 'none' ? [] : [...keys.wrapped],
    encryption: keys.encryption,
    ...(keys.encryption === 'none' ? {} : {keyScope: namespace}),
    compression: 'zstd',
    table,
    chunks: sealing.chunks,
  }
  const bytes = Buffer.from(JSON.stringify(envelope))
  const config = {digest: digestOf(bytes), sizeBytes: bytes.length}
  await sealing.putBlob({digest: config.digest, bytes}, signal)
  const manifest = writeManifest({name, envelope, config, signer})
  const digest = await store.putManifest(manifest, name, signal)
  const {readBytes: sizeBytes, storedBytes, newBytes} = sealing
  return {digest, sizeBytes, storedBytes, newBytes, metadata}
}

type Chunk = Envelope['chunks'][number]

/** One sealing under way: counts, and knows what it has put. */
class Sealing {
  readonly chunks: Chunk[] = []
  readBytes = 0
  storedBytes = 0
  newBytes = 0
  readonly #options: SealOptions
  readonly #cipher: PieceCipher
  readonly #indexOf = new Map<Digest, number>()
  readonly #puts = new Map<Digest, Promise<void>>()
  readonly #zeroPieces = new Map<number, Promise<Chunk>>()

  constructor(options: SealOptions, cipher: PieceCipher) {
    this.#options = options
    this.#cipher = cipher
  }

  async archive(container: string): Promise<{indices: number[]; archiveBytes: number}> {
    const {archives, signal, onProgress} = this.#options
    const archive = archives.get(container)
    if (archive === undefined) throw new TypeError(`the archive of container ${container} is missing`)
    const before = this.readBytes
    const indices: number[] = []
    const pieces = cutArchive(archive(), () => chunkBuffers.take())
    const sealed = inOrder(pieces, AT_ONCE, signal, async (piece, either) => {
      this.readBytes += piece.length
      return isZero(piece) ? this.#zeros(piece, either) : this.put(piece, 'chunk', either)
    })
    for await (const chunk of sealed) {
      indices.push(this.#index(chunk))
      const {readBytes, storedBytes, newBytes} = this
      onProgress?.({container, readBytes, storedBytes, newBytes})
    }
    return {indices, archiveBytes: this.readBytes - before}
  }

  async put(plain: Buffer, kind: PieceKind, signal: AbortSignal): Promise<Chunk> {
    const sizeBytes = plain.length
    const {digest, bytes, compression} = await this.#cipher.seal(plain, kind)
    const storedBytes = bytes.length
    await this.putBlob({digest, bytes}, signal)
    chunkBuffers.release(bytes)
    return {
      ...{digest, storedBytes, sizeBytes},
      ...(compression === 'none' ? {compression} : {}),
    }
  }

  /** Memory that was never written to is most of some archives: one such piece of a size is sealed, once. */
  #zeros(plain: Buffer, signal: AbortSignal): Promise<Chunk> {
    const known = this.#zeroPieces.get(plain.length)
    if (known !== undefined) {
      chunkBuffers.release(plain)
      return known
    }
    const piece = this.put(plain, 'chunk', signal)
    this.#zeroPieces.set(plain.length, piece)
    return piece
  }

  /** Puts a blob once, however often it occurs. */
  putBlob(blob: {readonly digest: Digest; readonly bytes: Buffer}, signal: AbortSignal): Promise<void> {
    const known = this.#puts.get(blob.digest)
    if (known !== undefined) return known
    const put = this.#putNew(blob, signal)
    this.#puts.set(blob.digest, put)
    return put
  }

  async #putNew({digest, bytes}: {digest: Digest; bytes: Buffer}, signal: AbortSignal): Promise<void> {
    const {store} = this.#options
    // Never skipped for what is there: by a put, an old piece that nothing names is safe from a collection again.
    const asked = {forContent: false}
    const content = () => {
      asked.forContent = true
      return once(bytes)
    }
    await store.put({digest, sizeBytes: bytes.length, content, isHashed: true, signal})
    if (asked.forContent) this.newBytes += bytes.length
    this.storedBytes += bytes.length
    if (this.#options.readBack !== true) return
    // Compared byte by byte with what its digest is of.
    if (store.getInto !== undefined) {
      const room = chunkBuffers.takeFor(bytes.length)
      const sizeBytes = await store.getInto(digest, room, signal)
      if (sizeBytes !== bytes.length || !bytes.equals(room)) throw notSame(digest, store)
      chunkBuffers.release(room)
      return
    }
    let at = 0
    for await (const part of store.get(digest, signal, {unchecked: true})) {
      if (!bytes.subarray(at, (at += part.length)).equals(part)) throw notSame(digest, store)
    }
    if (at !== bytes.length) throw notSame(digest, store)
  }

  #index(chunk: Chunk): number {
    const known = this.#indexOf.get(chunk.digest)
    if (known !== undefined) return known
    this.#indexOf.set(chunk.digest, this.chunks.length)
    return this.chunks.push(chunk) - 1
  }
}

const ZEROS = Buffer.alloc(MAX_CHUNK_BYTES)
const isZero = (piece: Buffer): boolean => piece.equals(ZEROS.subarray(0, piece.length))

const notSame = (digest: Digest, {location}: BlobStore): CheckpointError =>
  new CheckpointError(
    'BLOB_TAMPERED',
    `blob ${digest} read back from ${location} differs from what was written`,
  )

// eslint-disable-next-line @typescript-eslint/require-await -- a stream of one piece
async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
