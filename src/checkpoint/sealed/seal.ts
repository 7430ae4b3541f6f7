import {CheckpointError} from '../errors.ts'
import type {BlobStore, Digest} from '../stores/blob-store.ts'
import {chunkBuffers, MAX_CHUNK_BYTES} from './chunk-buffers.ts'
import {cutArchive, cutPages, type SealedBytes as SealedRun} from './chunks.ts'
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

/** What a sealing needs from its beginning. */
export interface SealingOptions {
  /** That of the pod: its pieces are encrypted under a key of its own. */
  readonly namespace: string
  readonly keys: SealingKeys
  readonly store: BlobStore
  /**
   * Every blob is read back from the store beside the sealing of the next ones, and is to be what was put there; one that
   * the store itself proves to be that is not read.
   */
  readonly readBack?: boolean
  /** Default: all in this thread. */
  readonly ciphers?: Ciphers
}

/** What it needs when the archives are whole. */
export interface FinishOptions {
  readonly metadata: UnsealedMetadata
  /** Per container of the metadata its archive, an uncompressed tar; read once. */
  readonly archives: ReadonlyMap<string, () => AsyncIterable<Uint8Array | SealedBytes>>
  readonly signer: Signer
  /** Under which people find it: `<namespace>-<checkpoint>`. */
  readonly name: string
  readonly signal: AbortSignal
  readonly onProgress?: (progress: SealProgress) => void
}

export type SealOptions = FinishOptions & Omit<SealingOptions, 'namespace'>

/** Seals archives that are whole. Throws as `Sealing.finish`. */
export const sealCheckpoint = (options: SealOptions): Promise<Sealed> =>
  new Sealing({...options, namespace: options.metadata.namespace}).finish(options)

type Chunk = Envelope['chunks'][number]

/** Stands in the stream of an archive for data of a large member that is sealed already. */
export type SealedBytes = SealedRun<Chunk>

/**
 * Seals archives into a store: in pieces, compressed, encrypted, named by digest, under a signed manifest that comes last.
 * What is there already is not put again. Done twice with the same content and keys it puts nothing but a manifest.
 */
export class Sealing {
  readonly #chunks: Chunk[] = []
  #readBytes = 0
  #storedBytes = 0
  #newBytes = 0
  readonly #options: SealingOptions
  readonly #cipher: PieceCipher
  readonly #indexOf = new Map<Digest, number>()
  readonly #puts = new Map<Digest, Promise<void>>()
  readonly #zeroPieces = new Map<number, Promise<Chunk>>()

  constructor(options: SealingOptions) {
    const {keys, namespace, ciphers = pieceCipher} = options
    this.#options = options
    this.#cipher = ciphers(keys.encryption === 'none' ? undefined : scopedKey(keys.dataKey, namespace))
  }

  /** What was put so far, and acknowledged. */
  get storedBytes(): number {
    return this.#storedBytes
  }

  /**
   * Seals data of a large member before its archive is whole, and gives its pieces in order. What follows the last place
   * where it can be cut is left to `finish`. Throws CheckpointError STORE_UNREACHABLE, STORE_REFUSED; with `readBack`
   * BLOB_MISSING, BLOB_TAMPERED. No more can be done with it then.
   */
  ahead(content: AsyncIterable<Uint8Array>, signal: AbortSignal): AsyncGenerator<Chunk> {
    const pieces = cutPages(content, () => chunkBuffers.take())
    return inOrder(pieces, AT_ONCE, signal, (piece, either) => this.#piece(piece, either))
  }

  /** Seals what is left of the archives, and what names it all. Throws as `ahead`. */
  async finish(options: FinishOptions): Promise<Sealed> {
    const {signer, name, signal} = options
    const {keys, store, namespace} = this.#options
    const containers: ContainerMetadata[] = []
    const archives: Record<string, number[]> = {}
    for (const container of options.metadata.containers) {
      const {indices, ...found} = await this.#archive(container.name, options)
      containers.push({...container, ...found})
      archives[container.name] = indices
    }
    const metadata = {...options.metadata, containers}
    const table = await this.#put(
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
      chunks: this.#chunks,
    }
    const bytes = Buffer.from(JSON.stringify(envelope))
    const config = {digest: digestOf(bytes), sizeBytes: bytes.length}
    await this.#putBlob({digest: config.digest, bytes}, signal)
    const manifest = writeManifest({name, envelope, config, signer})
    const digest = await store.putManifest(manifest, name, signal)
    return {
      digest,
      sizeBytes: this.#readBytes,
      storedBytes: this.#storedBytes,
      newBytes: this.#newBytes,
      metadata,
    }
  }

  async #archive(
    container: string,
    {archives, signal, onProgress}: FinishOptions,
  ): Promise<{indices: number[]; archiveBytes: number}> {
    const archive = archives.get(container)
    if (archive === undefined) throw new TypeError(`the archive of container ${container} is missing`)
    const before = this.#readBytes
    const indices: number[] = []
    const pieces = cutArchive(archive(), () => chunkBuffers.take())
    const sealed = inOrder(pieces, AT_ONCE, signal, async (piece, either) => {
      const isSealed = !Buffer.isBuffer(piece)
      this.#readBytes += isSealed ? piece.sizeBytes : piece.length
      return isSealed ? piece.pieces : [await this.#piece(piece, either)]
    })
    for await (const chunks of sealed) {
      for (const chunk of chunks) indices.push(this.#index(chunk))
      onProgress?.({
        container,
        readBytes: this.#readBytes,
        storedBytes: this.#storedBytes,
        newBytes: this.#newBytes,
      })
    }
    return {indices, archiveBytes: this.#readBytes - before}
  }

  #piece(piece: Buffer, signal: AbortSignal): Promise<Chunk> {
    return isZero(piece) ? this.#zeros(piece, signal) : this.#put(piece, 'chunk', signal)
  }

  async #put(plain: Buffer, kind: PieceKind, signal: AbortSignal): Promise<Chunk> {
    const sizeBytes = plain.length
    const {digest, bytes, compression} = await this.#cipher.seal(plain, kind)
    const storedBytes = bytes.length
    await this.#putBlob({digest, bytes}, signal)
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
    const piece = this.#put(plain, 'chunk', signal)
    this.#zeroPieces.set(plain.length, piece)
    return piece
  }

  /** Puts a blob once, however often it occurs. */
  #putBlob(blob: {readonly digest: Digest; readonly bytes: Buffer}, signal: AbortSignal): Promise<void> {
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
    const {readBack = false} = this.#options
    const given = {digest, sizeBytes: bytes.length, content, isHashed: true, prove: readBack, signal}
    const {isProven} = await store.put(given)
    if (asked.forContent) this.#newBytes += bytes.length
    this.#storedBytes += bytes.length
    if (!readBack || isProven) return
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
    this.#indexOf.set(chunk.digest, this.#chunks.length)
    return this.#chunks.push(chunk) - 1
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
