import {createHash, createSecretKey, type KeyObject} from 'node:crypto'
import type {z} from 'zod'
import {CheckpointError} from '../errors.ts'
import type {BlobStore, Digest} from '../stores/blob-store.ts'
import {tampered} from '../stores/content.ts'
import {chunkBuffers, copyInto, MAX_CHUNK_BYTES} from './chunk-buffers.ts'
import {inOrder} from './in-order.ts'
import {scopedKey, unwrapDataKey, type OpeningKeys} from './keys.ts'
import {readManifest} from './manifest.ts'
import {pieceCipher, type Ciphers, type PieceCipher, type PieceKind} from './pieces.ts'
import {
  envelopeSchema,
  tableSchema,
  type CheckpointMetadata,
  type Envelope,
  type Table,
} from '../../api/sealed-checkpoint.ts'

/** Pieces that are fetched ahead of the reader. */
const AHEAD = 4
/** Of what is held whole in memory, whatever the store says its size is. */
const MAX_TABLE_BYTES = 64 * 1024 * 1024

export interface ReadOptions {
  readonly store: BlobStore
  /** Of the manifest. */
  readonly digest: Digest
  /** Public keys, `ed25519:…`, whose signature counts. */
  readonly trust: readonly string[]
  readonly signal: AbortSignal
}

export interface OpenedCheckpoint {
  /** Title of the manifest: `<namespace>-<checkpoint>`. */
  readonly name: string
  /** Public key that signed it. */
  readonly signer: string
  readonly metadata: CheckpointMetadata
  readonly envelope: Envelope
  /**
   * The container's archive, an uncompressed tar. Every piece is checked before it is given, and at the end that it was
   * all of it, so what was unpacked counts only once the stream has ended. `transient`: a piece is there only until the
   * next one is asked for, which saves a copy. Throws CheckpointError BLOB_MISSING, BLOB_TAMPERED, STORE_UNREACHABLE, and
   * TypeError for a container that the metadata does not name.
   */
  readonly archive: (container: string, options?: {readonly transient?: boolean}) => AsyncIterable<Uint8Array>
}

/**
 * Opens a sealed checkpoint: nothing of it is believed before its signature was checked. Throws CheckpointError
 * BLOB_MISSING, BLOB_TAMPERED, SIGNATURE_INVALID, KEY_WRONG, KEY_UNREACHABLE, STORE_UNREACHABLE.
 */
export async function openCheckpoint(
  options: ReadOptions & {readonly keys: OpeningKeys; readonly ciphers?: Ciphers},
): Promise<OpenedCheckpoint> {
  const {keys, signal, ciphers = pieceCipher} = options
  const {envelope, name, signer} = await readEnvelope(options)
  const cipher = ciphers(envelope.encryption === 'none' ? undefined : await keyOf(envelope, keys, signal))
  const opening = new Opening(options, envelope, cipher)
  const table = await opening.table()
  return {
    name,
    signer,
    metadata: table.metadata,
    envelope,
    archive: (container, {transient = false} = {}) => {
      const pieces = opening.archive(table, container)
      return transient ? pieces : copiesOf(pieces)
    },
  }
}

async function keyOf(
  {keys: wrapped, keyScope}: Envelope,
  keys: OpeningKeys,
  signal: AbortSignal,
): Promise<KeyObject> {
  const dataKey = createSecretKey(await unwrapDataKey(wrapped, keys, signal))
  return keyScope === undefined ? dataKey : scopedKey(dataKey, keyScope)
}

/** What anyone may read of a checkpoint, with its signature checked. Throws as `openCheckpoint`, but for keys. */
export async function readEnvelope(
  options: ReadOptions,
): Promise<{readonly envelope: Envelope; readonly name: string; readonly signer: string}> {
  const {store, digest, trust, signal} = options
  const bytes = await store.getManifest(digest, signal)
  if (bytes === undefined) {
    throw new CheckpointError('BLOB_MISSING', `checkpoint ${digest} not found in ${store.location}`)
  }
  const {manifest, name, signer} = readManifest(bytes, trust)
  const {config, layers} = manifest
  const envelope = parsed(
    envelopeSchema,
    await readBlob(store, config.digest, config.size, signal),
    config.digest,
  )
  const blobs = [envelope.table, ...envelope.chunks]
  const same =
    blobs.length === layers.length &&
    blobs.every(
      ({digest, storedBytes}, at) => digest === layers[at]?.digest && storedBytes === layers[at].size,
    )
  if (!same) {
    throw new CheckpointError(
      'BLOB_TAMPERED',
      `the manifest and the envelope of checkpoint ${name} refer to different blobs`,
    )
  }
  return {envelope, name, signer}
}

/** Reads a checkpoint whose envelope is known. */
class Opening {
  readonly #options: ReadOptions
  readonly #envelope: Envelope
  readonly #cipher: PieceCipher

  constructor(options: ReadOptions, envelope: Envelope, cipher: PieceCipher) {
    this.#options = options
    this.#envelope = envelope
    this.#cipher = cipher
  }

  async table(): Promise<Table> {
    const {table} = this.#envelope
    return parsed(tableSchema, await this.#piece(table, 'table', this.#options.signal), table.digest)
  }

  async *archive({metadata, archives}: Table, container: string): AsyncGenerator<Uint8Array> {
    const said = metadata.containers.find(({name}) => name === container)
    const indices = archives[container]
    if (said === undefined || indices === undefined) {
      throw new TypeError(`the checkpoint does not contain container ${container}`)
    }
    const chunks = indices.map((index) => this.#chunk(index))
    // Pieces are bound by their digests, which are signed; the archives of version 1 have one of the whole besides.
    const hash = said.archiveSha256 === undefined ? undefined : createHash('sha256')
    let readBytes = 0
    const pieces = inOrder(chunks, AHEAD, this.#options.signal, (chunk, signal) =>
      this.#piece(chunk, 'chunk', signal),
    )
    for await (const piece of pieces) {
      hash?.update(piece)
      readBytes += piece.length
      yield piece
      chunkBuffers.release(piece)
    }
    if (readBytes !== said.archiveBytes || hash?.digest('hex') !== said.archiveSha256) {
      throw new CheckpointError(
        'BLOB_TAMPERED',
        `the archive of container ${container} is not the one that was encrypted`,
      )
    }
  }

  #chunk(index: number): Envelope['chunks'][number] {
    const chunk = this.#envelope.chunks[index]
    if (chunk !== undefined) return chunk
    const {digest} = this.#envelope.table
    throw new CheckpointError(
      'BLOB_TAMPERED',
      `table ${digest} refers to piece ${index}, which the envelope does not contain`,
    )
  }

  async #piece(chunk: Envelope['table'], kind: PieceKind, signal: AbortSignal): Promise<Buffer> {
    const {digest, storedBytes, sizeBytes, compression = 'zstd'} = chunk
    const limitBytes = kind === 'table' ? MAX_TABLE_BYTES : MAX_CHUNK_BYTES
    if (sizeBytes > limitBytes) throw oversized(digest, sizeBytes)
    const {store} = this.#options
    if (storedBytes > MAX_TABLE_BYTES) throw oversized(digest, storedBytes)
    const bytes = await readInto(chunkBuffers.takeFor(storedBytes), store, digest, signal)
    return this.#cipher.open({digest, bytes, sizeBytes, kind, compression}).catch((error: unknown) => {
      // Whoever opens it does not know where it came from.
      const isTampered = error instanceof CheckpointError && error.code === 'BLOB_TAMPERED'
      throw isTampered ? tampered(digest, store.location) : error
    })
  }
}

async function readBlob(
  store: BlobStore,
  digest: Digest,
  sizeBytes: number,
  signal: AbortSignal,
): Promise<Buffer> {
  if (sizeBytes > MAX_TABLE_BYTES) throw oversized(digest, sizeBytes)
  return gatherInto(Buffer.allocUnsafe(sizeBytes), digest, store.get(digest, signal))
}

/** Whoever opens it checks it. */
async function readInto(
  room: Buffer,
  store: BlobStore,
  digest: Digest,
  signal: AbortSignal,
): Promise<Buffer> {
  if (store.getInto === undefined)
    return gatherInto(room, digest, store.get(digest, signal, {unchecked: true}))
  return room.subarray(0, await store.getInto(digest, room, signal))
}

async function gatherInto(room: Buffer, digest: Digest, content: AsyncIterable<Uint8Array>): Promise<Buffer> {
  let readBytes = 0
  for await (const part of content) {
    if (readBytes + part.length > room.length) throw oversized(digest, readBytes + part.length)
    copyInto(room, part, readBytes)
    readBytes += part.length
  }
  return room.subarray(0, readBytes)
}

async function* copiesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) yield Buffer.from(piece)
}

const oversized = (digest: Digest, sizeBytes: number): CheckpointError =>
  new CheckpointError(
    'BLOB_TAMPERED',
    `blob ${digest} has ${sizeBytes} bytes, more than when it was encrypted`,
  )

function parsed<Output>(schema: z.ZodType<Output>, bytes: Uint8Array, digest: Digest): Output {
  try {
    return schema.parse(JSON.parse(Buffer.from(bytes).toString()))
  } catch (cause) {
    throw new CheckpointError(
      'BLOB_TAMPERED',
      `blob ${digest} does not have a format that this version of clouder can read`,
      {cause},
    )
  }
}
