import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import {CheckpointError} from '../errors.ts'
import type {Digest} from '../stores/blob-store.ts'
import {AFTER_BYTES, BEFORE_BYTES, copyInto, placedIn, roomAround} from './chunk-buffers.ts'
import {compressed, inflated} from './compression.ts'

const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = BEFORE_BYTES
const TAG_BYTES = AFTER_BYTES
/** Encrypted, hashed and decrypted again while it is in the cache of the processor. */
const SLICE_BYTES = 64 * 1024
const SLICE = Buffer.alloc(SLICE_BYTES)
const NO_NONCE = Buffer.alloc(NONCE_BYTES)

/** What a piece is for; one can never be opened as the other. */
export type PieceKind = 'chunk' | 'table'

/** `none`: the piece is stored as it is, since zstd would not make it smaller. */
export type PieceCompression = 'zstd' | 'none'

export interface SealedPiece {
  readonly digest: Digest
  readonly bytes: Buffer
  readonly compression: PieceCompression
}

export interface PieceToOpen {
  readonly digest: Digest
  readonly bytes: Buffer
  /** Open. */
  readonly sizeBytes: number
  readonly kind: PieceKind
  readonly compression: PieceCompression
}

/** Turns pieces into blobs, and back. */
export interface PieceCipher {
  /**
   * `plain` is taken over, and may be where what is given lies: it is not to be used any more. What is given was opened
   * again, to just this.
   */
  seal(plain: Buffer, kind: PieceKind): Promise<SealedPiece>
  /**
   * `bytes` are taken over as well. Throws CheckpointError BLOB_TAMPERED for what does not have the digest, was not
   * encrypted as this piece, or does not open to `sizeBytes`.
   */
  open(sealed: PieceToOpen): Promise<Buffer>
}

/** What seals and opens under a data key; undefined: in clear, for a store that is to hold checkpoints so. */
export type Ciphers = (dataKey: KeyObject | undefined) => PieceCipher

export const digestOf = (bytes: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** Seals and opens in the thread that calls, which does nothing else meanwhile. */
export const pieceCipher: Ciphers = (dataKey) => {
  const keys = dataKey === undefined ? undefined : keysOf(dataKey)
  return {
    seal: (plain, kind) => attempt(() => sealed(plain, kind, keys)),
    open: (piece) => attempt(() => opened(piece, keys)),
  }
}

interface PieceKeys {
  readonly key: KeyObject
  /** Of the universal hash that a nonce is made of, and of the HMAC that makes it one. */
  readonly hashKey: KeyObject
  readonly nonceKey: KeyObject
}

const keysOf = (dataKey: KeyObject): PieceKeys => ({
  key: derived(dataKey, 'clouder checkpoint v1: encryption'),
  hashKey: derived(dataKey, 'clouder checkpoint v2: hash of nonces'),
  nonceKey: derived(dataKey, 'clouder checkpoint v2: nonces'),
})

const derived = (dataKey: KeyObject, info: string): KeyObject =>
  createSecretKey(Buffer.from(hkdfSync('sha256', dataKey, Buffer.alloc(0), info, 32)))

const attempt = <T>(work: () => T): Promise<T> => new Promise((resolve) => resolve(work()))

/** Compressed where that is worth it, encrypted if there are keys, and proven to open again to the same bytes. */
function sealed(plain: Buffer, kind: PieceKind, keys: PieceKeys | undefined): SealedPiece {
  const packed = compressed(plain)
  const compression = packed === undefined ? 'none' : 'zstd'
  const message = packed ?? plain
  // Before it is overwritten with what it is sealed to.
  if (packed !== undefined && !inflated(packed, plain.length).equals(plain))
    throw new Error('a piece was compressed to something else than itself')
  const room = roomAround(plain, NONCE_BYTES + message.length + TAG_BYTES)
  if (keys !== undefined)
    return {...encrypted(message, contextOf(kind, compression), keys, room), compression}
  const bytes = packed === undefined ? plain : room.subarray(0, packed.length)
  if (packed !== undefined) copyInto(bytes, packed)
  return {digest: digestOf(bytes), bytes, compression}
}

/**
 * AES-256-GCM; a blob is nonce, ciphertext, tag. Equal pieces under one data key give equal blobs: the nonce depends on
 * nothing but the bytes that are encrypted and the context, and their key. GCM breaks when one nonce meets two messages.
 * Here it is a pseudo-random function of the very message that is encrypted (`nonceOf`): the same message gives the same
 * blob, which tells that it is the same and no more, and two messages share a nonce by chance only: below 2^-33 after 2^32
 * pieces (8 PiB). It is of the compressed bytes because another zstd may compress the same piece to other bytes.
 */
function encrypted(
  message: Buffer,
  context: Buffer,
  keys: PieceKeys,
  bytes: Buffer,
): {digest: Digest; bytes: Buffer} {
  const {key} = keys
  const nonce = nonceOf(message, context, keys)
  const gcm = createCipheriv(CIPHER, key, nonce, {authTagLength: TAG_BYTES}).setAAD(context)
  const again = createDecipheriv(CIPHER, key, nonce, {authTagLength: TAG_BYTES}).setAAD(context)
  const hash = createHash('sha256').update(nonce)
  copyInto(bytes, nonce)
  let isSame = true
  for (let at = 0; at < message.length; at += SLICE_BYTES) {
    // `bytes` may be where the message lies.
    const slice = SLICE.subarray(0, message.copy(SLICE, 0, at))
    const stored = bytes.subarray(NONCE_BYTES + at, NONCE_BYTES + at + slice.length)
    copyInto(stored, gcm.update(slice))
    hash.update(stored)
    isSame = again.update(stored).equals(slice) && isSame
  }
  gcm.final()
  const tag = gcm.getAuthTag()
  copyInto(bytes, tag, NONCE_BYTES + message.length)
  const digest: Digest = `sha256:${hash.update(tag).digest('hex')}`
  finish(again.setAuthTag(tag), digest)
  if (!isSame) throw tampered(digest)
  return {digest, bytes}
}

/**
 * HMAC of a universal hash, a pseudo-random function by the theorem of Carter and Wegman, and ten times as fast as an HMAC
 * of the whole message. The hash is GHASH: GMAC under a key and a nonce that serve nothing else, which adds a constant to
 * it. Nobody ever learns its value, so the nonce may be the same each time. Two messages of 4 MiB have the same one
 * with a probability of 2^-110.
 */
function nonceOf(message: Buffer, context: Buffer, {hashKey, nonceKey}: PieceKeys): Buffer {
  const hash = createCipheriv(CIPHER, hashKey, NO_NONCE, {authTagLength: TAG_BYTES}).setAAD(message)
  hash.final()
  const nonce = createHmac('sha256', nonceKey).update(context).update(hash.getAuthTag()).digest()
  return nonce.subarray(0, NONCE_BYTES)
}

function opened(piece: PieceToOpen, keys: PieceKeys | undefined): Buffer {
  const {digest, sizeBytes, compression} = piece
  const message = keys === undefined ? clear(piece) : decrypted(piece, keys)
  if (compression === 'zstd') return placedIn(piece.bytes, unpacked(digest, message, sizeBytes))
  if (message.length !== sizeBytes) throw tampered(digest)
  return message
}

function clear({digest, bytes}: PieceToOpen): Buffer {
  if (digestOf(bytes) !== digest) throw tampered(digest)
  return bytes
}

/** Where it lies. */
function decrypted({digest, bytes, kind, compression}: PieceToOpen, {key}: PieceKeys): Buffer {
  if (bytes.length < NONCE_BYTES + TAG_BYTES) throw tampered(digest)
  const message = bytes.subarray(NONCE_BYTES, -TAG_BYTES)
  const nonce = bytes.subarray(0, NONCE_BYTES)
  const tag = bytes.subarray(-TAG_BYTES)
  const gcm = createDecipheriv(CIPHER, key, nonce, {authTagLength: TAG_BYTES})
    .setAAD(contextOf(kind, compression))
    .setAuthTag(tag)
  const hash = createHash('sha256').update(nonce)
  for (let at = 0; at < message.length; at += SLICE_BYTES) {
    const slice = message.subarray(at, at + SLICE_BYTES)
    hash.update(slice)
    copyInto(slice, gcm.update(slice))
  }
  // Another piece under the same key would open too: it is the digest that the signature is about.
  if (`sha256:${hash.update(tag).digest('hex')}` !== digest) throw tampered(digest)
  finish(gcm, digest)
  return message
}

function finish(gcm: {final(): Buffer}, digest: Digest): void {
  try {
    gcm.final()
  } catch (error) {
    throw tampered(digest, error)
  }
}

/** Per kind and compression, and none a prefix of another: a blob opens in one way only. */
const contextOf = (kind: PieceKind, compression: PieceCompression): Buffer =>
  Buffer.from(
    compression === 'zstd'
      ? `clouder checkpoint v1: ${kind}\n`
      : `clouder checkpoint v2: uncompressed ${kind}\n`,
  )

function unpacked(digest: Digest, packed: Uint8Array, sizeBytes: number): Buffer {
  let plain: Buffer
  try {
    plain = inflated(packed, sizeBytes)
  } catch (error) {
    throw tampered(digest, error)
  }
  if (plain.length !== sizeBytes) throw tampered(digest)
  return plain
}

function tampered(digest: Digest, cause?: unknown): CheckpointError {
  const message = `blob ${digest} is not what was encrypted`
  return new CheckpointError('BLOB_TAMPERED', message, cause === undefined ? {} : {cause})
}
