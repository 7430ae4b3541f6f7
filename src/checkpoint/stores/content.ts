import {createHash} from 'node:crypto'
import {z} from 'zod'
import {CheckpointError} from '../errors.ts'
import type {Digest} from './blob-store.ts'

/** A manifest names 4 MiB of a checkpoint in some 200 bytes: this is one of hundreds of gigabytes. */
export const MAX_MANIFEST_BYTES = 32 * 2 ** 20

const DIGEST = /^sha256:[0-9a-f]{64}$/
const digestSchema = z.custom<Digest>((value) => typeof value === 'string' && DIGEST.test(value))
const namedSchema = z.object({
  config: z.object({digest: digestSchema}),
  layers: z.array(z.object({digest: digestSchema})),
})

export function digestOf(content: Uint8Array): Digest {
  return `sha256:${createHash('sha256').update(content).digest('hex')}`
}

/** As headers have it. */
export const base64Of = (digest: Digest): string => Buffer.from(hexOf(digest), 'hex').toString('base64')

/** What is sent to find out whether a service refuses it, since it is said to have this digest. */
export const PROBE = {
  key: 'probe',
  content: Buffer.from('sent with the checksum of something else'),
  wrongDigest: digestOf(Buffer.from('something else')),
} as const

export const hexOf = (digest: Digest): string => digest.slice('sha256:'.length)

/** The digest of 64 hex digits; undefined for anything else. */
export function digestFromHex(hex: string): Digest | undefined {
  return /^[0-9a-f]{64}$/.test(hex) ? `sha256:${hex}` : undefined
}

/** Passes on what flows through, and throws BLOB_TAMPERED instead of ending when it is not what the digest says. */
export async function* checkedContent(
  content: AsyncIterable<Uint8Array>,
  {
    digest,
    location,
    sizeBytes,
  }: {readonly digest: Digest; readonly location: string; readonly sizeBytes?: number},
): AsyncGenerator<Uint8Array> {
  const hash = createHash('sha256')
  let bytes = 0
  for await (const piece of content) {
    hash.update(piece)
    bytes += piece.length
    // What is too long already is not sent to its end.
    if (bytes > (sizeBytes ?? Number.POSITIVE_INFINITY)) throw tampered(digest, location)
    yield piece
  }
  if (bytes !== (sizeBytes ?? bytes) || `sha256:${hash.digest('hex')}` !== digest)
    throw tampered(digest, location)
}

export function tampered(digest: Digest, location: string): CheckpointError {
  return new CheckpointError(
    'BLOB_TAMPERED',
    `the content of ${digest} in ${location} does not match its digest`,
    {
      suggestions: ['restore another checkpoint of the pod: clouder checkpoint ls'],
    },
  )
}

export function missing(digest: Digest, location: string): CheckpointError {
  return new CheckpointError('BLOB_MISSING', `${digest} not found in ${location}`)
}

/** Digests of the blobs that an OCI manifest names. Throws CheckpointError BLOB_TAMPERED when it is no manifest. */
export function namedBlobs(manifest: Uint8Array, location: string): readonly Digest[] {
  const parsed = namedSchema.safeParse(parseJson(manifest))
  if (!parsed.success) throw tampered(digestOf(manifest), location)
  const {config, layers} = parsed.data
  return [...new Set([config.digest, ...layers.map(({digest}) => digest)])]
}

function parseJson(content: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(content).toString('utf8'))
  } catch {
    return undefined
  }
}

/** All of a small thing that is streamed. */
export async function gather(content: AsyncIterable<Uint8Array>): Promise<Uint8Array<ArrayBuffer>> {
  const pieces: Uint8Array[] = []
  for await (const piece of content) pieces.push(piece)
  return Buffer.concat(pieces)
}

/** A stream of one piece. */
export async function* onePiece(content: Uint8Array): AsyncGenerator<Uint8Array> {
  yield await Promise.resolve(content)
}

/** The same bytes in pieces of one size; the last is smaller, or empty when there is nothing. */
export async function* regrouped(
  content: AsyncIterable<Uint8Array>,
  pieceBytes: number,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  let held: Uint8Array[] = []
  let heldBytes = 0
  for await (const piece of content) {
    held.push(piece)
    heldBytes += piece.length
    while (heldBytes > pieceBytes) {
      const all = Buffer.concat(held)
      yield all.subarray(0, pieceBytes)
      held = [all.subarray(pieceBytes)]
      heldBytes -= pieceBytes
    }
  }
  yield Buffer.concat(held)
}
