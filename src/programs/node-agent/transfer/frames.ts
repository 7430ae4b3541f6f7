import {z} from 'zod'
import {CheckpointError} from '../../../checkpoint/errors.ts'

/** Bytes of a file that are sent at once, of which each has a CRC-32; only the last ones of a file are fewer. */
export const PIECE_BYTES = 1024 * 1024
/** Nothing is sent for longer than this: a frame that says so keeps the connection. */
export const ALIVE_EVERY_MS = 5000
/** Without a byte for so long the other end is given up. */
export const SILENCE_MS = 30_000
const MAX_HEADER_BYTES = 16 * 1024
/** Of the list of all files. */
export const MAX_MANIFEST_BYTES = 16 * 1024 * 1024
const PREFIX_BYTES = 4

const sizeSchema = z.int().min(0)
/** A container's name, which becomes the name of a folder. */
const containerSchema = z.string().regex(/^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/)
const crcSchema = z.int().min(0).max(0xffff_ffff)
/** Parts of a path below the folder of a container's dump; none leads out of it. */
const pathSchema = z
  .string()
  .min(1)
  .max(4096)
  .refine((path) =>
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..' && !part.includes('\0')),
  )

/** SHA-256 of the public key of one end of the data connections, in hexadecimal. */
export const pinSchema = z.string().regex(/^[0-9a-f]{64}$/)
/** Connections over which the files of one dump come. */
export const MAX_CONNECTIONS = 4

const frameSchema = z.discriminatedUnion('type', [
  /** The target is to make so many connections, and begins each with the id. */
  z.strictObject({
    type: z.literal('connect'),
    id: z.string().regex(/^[0-9a-f]{64}$/),
    connections: z.int().min(1).max(MAX_CONNECTIONS),
  }),
  /** They are there; the source has this key. */
  z.strictObject({type: z.literal('pin'), pin: pinSchema}),
  /** The dump begins; comes before any piece. So large it is expected to be; 0: that is not known. */
  z.strictObject({type: z.literal('begin'), sizeBytes: sizeSchema}),
  /** The dump was begun again: nothing of what was sent counts. It is requested again. */
  z.strictObject({type: z.literal('restart')}),
  /** The dump has nothing new yet. */
  z.strictObject({type: z.literal('alive')}),
  /** All was sent; the CRC-32 of each file of the manifest follows, in its order. */
  z.strictObject({type: z.literal('sums'), length: sizeSchema.max(MAX_MANIFEST_BYTES)}),
  /** The manifest follows, and nothing else. */
  z.strictObject({type: z.literal('end'), length: sizeSchema.max(MAX_MANIFEST_BYTES)}),
])
export type Frame = z.output<typeof frameSchema>

/** What a dump consists of. Its digest is in the status of the Checkpoint, and means this dump and no earlier one. */
export const manifestSchema = z.strictObject({
  /** Random: nobody who does not have the dump knows a manifest of its digest. */
  attempt: z.string().min(32),
  containers: z.array(containerSchema).min(1),
  files: z.array(
    z.strictObject({
      container: containerSchema,
      path: pathSchema,
      sizeBytes: sizeSchema,
    }),
  ),
})
export type Manifest = z.output<typeof manifestSchema>

/**
 * Of each file the CRC-32 of the CRC-32s of its pieces, as they were when they were sent: to be known before, all would
 * have to be read once more.
 */
export const sumsSchema = z.array(crcSchema)

/** A frame's header; what it announces follows. */
export function headerOf(frame: Frame): Buffer {
  const text = Buffer.from(JSON.stringify(frame))
  const header = Buffer.allocUnsafe(PREFIX_BYTES + text.length)
  header.writeUInt32BE(text.length, 0)
  header.set(text, PREFIX_BYTES)
  return header
}

const bodyBytesOf = (frame: Frame): number => ('length' in frame ? frame.length : 0)

/**
 * Puts frames together from bytes that come in chunks of any size. `onFrame` is called with each, and with what
 * followed it.
 */
export class FrameReader {
  readonly #onFrame: (frame: Frame, body: Buffer) => void
  readonly #prefix = Buffer.alloc(PREFIX_BYTES)
  #into: Buffer = this.#prefix
  #filled = 0
  #frame: Frame | undefined

  constructor(onFrame: (frame: Frame, body: Buffer) => void) {
    this.#onFrame = onFrame
  }

  /** Whether the bytes so far end with a frame. */
  get isBetweenFrames(): boolean {
    return this.#into === this.#prefix && this.#filled === 0
  }

  /** Throws CheckpointError TRANSFER_FAILED for what is no frame. */
  push(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) {
      const count = Math.min(chunk.length - at, this.#into.length - this.#filled)
      this.#into.set(chunk.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
      if (this.#filled === this.#into.length) this.#whole()
    }
  }

  #whole(): void {
    const part = this.#into
    this.#filled = 0
    if (this.#frame !== undefined) {
      this.#give(this.#frame, part)
      return
    }
    if (part === this.#prefix) {
      const headerBytes = part.readUInt32BE(0)
      if (headerBytes === 0 || headerBytes > MAX_HEADER_BYTES)
        throw notAFrame(`a header of ${headerBytes} bytes`)
      this.#into = Buffer.allocUnsafe(headerBytes)
      return
    }
    const frame = parsedFrame(part)
    const bodyBytes = bodyBytesOf(frame)
    if (bodyBytes === 0) {
      this.#give(frame, Buffer.alloc(0))
      return
    }
    this.#frame = frame
    this.#into = Buffer.alloc(bodyBytes)
  }

  #give(frame: Frame, body: Buffer): void {
    this.#frame = undefined
    this.#into = this.#prefix
    this.#onFrame(frame, body)
  }
}

function parsedFrame(text: Buffer): Frame {
  try {
    return frameSchema.parse(JSON.parse(text.toString()))
  } catch (error) {
    throw notAFrame('an invalid header', error)
  }
}

const notAFrame = (what: string, cause?: unknown): CheckpointError =>
  new CheckpointError('TRANSFER_FAILED', `the source sent ${what}`, cause === undefined ? {} : {cause})
