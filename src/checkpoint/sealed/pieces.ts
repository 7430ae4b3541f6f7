import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createHmac,
  createSecretKey,
  hkdfSync,
  type KeyObject,
} from 'node:crypto'
import {promisify} from 'node:util'
import {constants, zstdCompress, zstdDecompress} from 'node:zlib'
import {CheckpointError} from '../errors.ts'
import type {Digest} from '../stores/blob-store.ts'

const zstd = promisify(zstdCompress)
const unzstd = promisify(zstdDecompress)
/** A pod may stand still meanwhile: what the next levels save in bytes costs twice the time. */
const PARAMS = {[constants.ZSTD_c_compressionLevel]: 1}
/** What does not compress grows by less. */
const GROWTH_BYTES = 64 * 1024
const CIPHER = 'aes-256-gcm'
const NONCE_BYTES = 12
const TAG_BYTES = 16

/** What a piece is for; one can never be opened as the other. */
export type PieceKind = 'chunk' | 'table'

export interface SealedPiece {
  readonly digest: Digest
  readonly bytes: Buffer
}

/** Turns pieces into blobs, and back. */
export interface PieceCipher {
  /** `plain` may be taken over: it is not to be used any more. What is given was opened again, to just this. */
  seal(plain: Buffer, kind: PieceKind): Promise<SealedPiece>
  /**
   * `bytes` may be taken over as well. Throws CheckpointError BLOB_TAMPERED; also for what opens to more than `sizeBytes`.
   */
  open(sealed: {digest: Digest; bytes: Buffer; sizeBytes: number; kind: PieceKind}): Promise<Buffer>
}

/** What seals and opens under a data key. */
export type Ciphers = (dataKey: KeyObject) => PieceCipher

export const digestOf = (bytes: Uint8Array): Digest =>
  `sha256:${createHash('sha256').update(bytes).digest('hex')}`

/** zstd alone, for a store that is to hold checkpoints in clear. */
export const clearCipher: PieceCipher = {
  seal: async (plain) => {
    const bytes = await compress(plain)
    return {digest: digestOf(bytes), bytes}
  },
  open: async ({digest, bytes, sizeBytes}) => {
    // The store has checked the digest; nothing else guards these bytes.
    if (digestOf(bytes) !== digest) throw tampered(digest)
    return inflate(digest, bytes, sizeBytes)
  },
}

/**
 * zstd, then AES-256-GCM; a blob is nonce, ciphertext, tag. Equal pieces under one data key give equal blobs: the
 * nonce is an HMAC, under a key of its own, of the compressed bytes and of the kind, cut to 96 bits. GCM breaks when
 * one nonce meets two messages. Here it is a pseudo-random function of the very message that is encrypted: the same
 * message gives the same blob, which tells that it is the same and no more, and two messages share a nonce by chance
 * only: below 2^-33 after 2^32 pieces (8 PiB). It is of the compressed bytes because another zstd may compress the
 * same piece to other bytes.
 */
export function pieceCipher(dataKey: KeyObject): PieceCipher {
  const key = derived(dataKey, 'clouder checkpoint v1: encryption')
  const nonceKey = derived(dataKey, 'clouder checkpoint v1: nonces')
  const cipher: PieceCipher = {
    seal: async (plain, kind) => {
      const packed = await compress(plain)
      const context = contextOf(kind)
      const nonce = createHmac('sha256', nonceKey)
        .update(context)
        .update(packed)
        .digest()
        .subarray(0, NONCE_BYTES)
      const gcm = createCipheriv(CIPHER, key, nonce, {authTagLength: TAG_BYTES}).setAAD(context)
      const bytes = Buffer.concat([nonce, gcm.update(packed), gcm.final(), gcm.getAuthTag()])
      const digest = digestOf(bytes)
      const opened = await cipher.open({digest, bytes, sizeBytes: plain.length, kind})
      if (!opened.equals(plain)) throw tampered(digest)
      return {digest, bytes}
    },
    open: async ({digest, bytes, sizeBytes, kind}) => {
      if (bytes.length < NONCE_BYTES + TAG_BYTES) throw tampered(digest)
      const end = bytes.length - TAG_BYTES
      const decipher = createDecipheriv(CIPHER, key, bytes.subarray(0, NONCE_BYTES), {
        authTagLength: TAG_BYTES,
      })
        .setAAD(contextOf(kind))
        .setAuthTag(bytes.subarray(end))
      const packed = decipher.update(bytes.subarray(NONCE_BYTES, end))
      try {
        decipher.final()
      } catch (error) {
        throw tampered(digest, error)
      }
      return inflate(digest, packed, sizeBytes)
    },
  }
  return cipher
}

/** All of it in one step: in Node's default steps of 16 KiB most of the time goes into putting them together. */
const compress = (plain: Uint8Array): Promise<Buffer> =>
  zstd(plain, {params: PARAMS, chunkSize: plain.length + GROWTH_BYTES})

/** Of fixed length per kind, and neither a prefix of the other. */
const contextOf = (kind: PieceKind): Buffer => Buffer.from(`clouder checkpoint v1: ${kind}\n`)

const derived = (dataKey: KeyObject, info: string): KeyObject =>
  createSecretKey(Buffer.from(hkdfSync('sha256', dataKey, Buffer.alloc(0), info, 32)))

async function inflate(digest: Digest, packed: Uint8Array, sizeBytes: number): Promise<Buffer> {
  const plain = await unzstd(packed, {
    maxOutputLength: Math.max(sizeBytes, 1),
    chunkSize: Math.max(sizeBytes, 64),
  }).catch((error: unknown) => {
    throw tampered(digest, error)
  })
  if (plain.length !== sizeBytes) throw tampered(digest)
  return plain
}

function tampered(digest: Digest, cause?: unknown): CheckpointError {
  const message = `blob ${digest} is not what was encrypted`
  return new CheckpointError('BLOB_TAMPERED', message, cause === undefined ? {} : {cause})
}
