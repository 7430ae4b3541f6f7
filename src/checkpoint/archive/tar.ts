import {CheckpointError} from '../errors.ts'

const BLOCK_BYTES = 512
/** Of a header that extends another: a long path. */
const MAX_EXTENSION_BYTES = 64 * 1024

/** A member of a tar. Its content is read before the next member is asked for; what is not read is skipped. */
export interface TarMember {
  readonly path: string
  readonly kind: 'file' | 'directory' | 'other'
  readonly sizeBytes: number
  readonly content: AsyncIterable<Uint8Array>
}

/** Bytes of which some need not be read: those of a file. */
export interface SkippableBytes extends AsyncIterable<Uint8Array> {
  /** Leaves out so many of those that were not given yet. */
  skip(sizeBytes: number): void
}

/**
 * Reads an uncompressed tar as a stream: ustar, pax, and long names of GNU. What the source of the bytes throws goes
 * up as it is. Throws CheckpointError BLOB_TAMPERED for what is no tar, or is cut off.
 */
export async function* tarMembers(
  content: AsyncIterable<Uint8Array> | SkippableBytes,
): AsyncGenerator<TarMember> {
  const bytes = new ByteReader(content)
  try {
    let extension: Extension = {}
    for (;;) {
      const header = await bytes.take(BLOCK_BYTES)
      if (header.every((byte) => byte === 0)) break
      const {type, path, sizeBytes} = readHeader(header)
      const padding = (BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES
      if (EXTENSIONS.includes(type)) {
        if (sizeBytes > MAX_EXTENSION_BYTES) throw noTar(`a pax header has ${sizeBytes} bytes`)
        const text = (await bytes.take(sizeBytes + padding)).subarray(0, sizeBytes).toString()
        if (type === 'x') extension = {...extension, ...paxOf(text)}
        if (type === 'L') extension = {...extension, path: text.replace(/\0.*$/s, '')}
        continue
      }
      const size = extension.sizeBytes ?? sizeBytes
      bytes.begin(size, (BLOCK_BYTES - (size % BLOCK_BYTES)) % BLOCK_BYTES)
      yield {path: extension.path ?? path, kind: kindOf(type), sizeBytes: size, content: bytes.member()}
      await bytes.skipMember()
      extension = {}
    }
    await bytes.drain()
  } finally {
    await bytes.close()
  }
}

/** The header of a file, for a tar that is written. */
export function tarHeader(path: string, sizeBytes: number): Buffer {
  const header = Buffer.alloc(BLOCK_BYTES)
  header.write(path, 0, 100)
  header.write('0000644\0' + '0000000\0' + '0000000\0', 100)
  // Beyond 8 GiB the octal digits do not do: GNU's big-endian number, with the top bit of the field set.
  if (sizeBytes < 8 ** 11) header.write(`${sizeBytes.toString(8).padStart(11, '0')}\0`, 124)
  else header.writeUIntBE(sizeBytes, 130, 6)
  if (sizeBytes >= 8 ** 11) header[124] = 0x80
  header.write('00000000000\0', 136)
  header[156] = 0x30
  header.write('ustar\0' + '00', 257)
  return withChecksum(header)
}

/** What follows a file of that size in a tar. */
export const tarPadding = (sizeBytes: number): Buffer =>
  Buffer.alloc((BLOCK_BYTES - (sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES)

/** The end of a tar. */
export const TAR_END: Buffer = Buffer.alloc(2 * BLOCK_BYTES)

interface Extension {
  readonly path?: string
  readonly sizeBytes?: number
}

const EXTENSIONS: readonly string[] = ['x', 'g', 'L', 'K']

function kindOf(type: string): TarMember['kind'] {
  if (type === '0' || type === '\0' || type === '7') return 'file'
  return type === '5' ? 'directory' : 'other'
}

function readHeader(header: Buffer): {type: string; path: string; sizeBytes: number} {
  const said = octal(header, 148, 8)
  const counted = Buffer.from(header).fill(' ', 148, 156)
  if (said !== sumOf(counted)) throw noTar('the checksum of a header is wrong')
  const isUstar = text(header, 257, 5) === 'ustar'
  // GNU's own format, `ustar ` with a space, has other things where the prefix is.
  const prefix = isUstar && header[262] === 0 ? text(header, 345, 155) : ''
  const name = text(header, 0, 100)
  const isBinary = (header[124] ?? 0) >= 0x80
  return {
    type: String.fromCharCode(header[156] ?? 0),
    path: prefix === '' ? name : `${prefix}/${name}`,
    sizeBytes: isBinary ? header.readUIntBE(130, 6) : octal(header, 124, 12),
  }
}

function withChecksum(header: Buffer): Buffer {
  header.fill(' ', 148, 156)
  header.write(`${sumOf(header).toString(8).padStart(6, '0')}\0 `, 148)
  return header
}

const sumOf = (header: Buffer): number => header.reduce((sum, byte) => sum + byte, 0)

const text = (header: Buffer, at: number, length: number): string =>
  header.toString('utf8', at, at + length).replace(/\0.*$/s, '')

function octal(header: Buffer, at: number, length: number): number {
  const digits = text(header, at, length).trim()
  if (!/^[0-7]+$/.test(digits)) throw noTar('a header contains an invalid number')
  return Number.parseInt(digits, 8)
}

/** Records `length key=value\n`, where length is in bytes and counts itself. */
function paxOf(records: string): Extension {
  let extension: Extension = {}
  for (const [, key, value = ''] of records.matchAll(/\d+ ([^=\n]+)=([^\n]*)\n/g)) {
    if (key === 'path') extension = {...extension, path: value}
    if (key === 'size') extension = {...extension, sizeBytes: Number(value)}
  }
  if (extension.sizeBytes === undefined || Number.isSafeInteger(extension.sizeBytes)) return extension
  throw noTar('the size in a pax header is not a number')
}

const noTar = (what: string): CheckpointError =>
  new CheckpointError('BLOB_TAMPERED', `invalid container archive: ${what}`)

/** Takes bytes from a stream that comes in pieces of any size. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  readonly #skippable: SkippableBytes | undefined
  #piece: Uint8Array = Buffer.alloc(0)
  #left = 0
  #padding = 0

  constructor(content: AsyncIterable<Uint8Array> | SkippableBytes) {
    this.#source = content[Symbol.asyncIterator]()
    this.#skippable = 'skip' in content ? content : undefined
  }

  async take(sizeBytes: number): Promise<Buffer> {
    const taken = Buffer.alloc(sizeBytes)
    for (let filled = 0; filled < sizeBytes;) {
      const part = await this.#next(sizeBytes - filled)
      taken.set(part, filled)
      filled += part.length
    }
    return taken
  }

  begin(sizeBytes: number, padding: number): void {
    this.#left = sizeBytes
    this.#padding = padding
  }

  async *member(): AsyncGenerator<Uint8Array> {
    while (this.#left > 0) {
      const part = await this.#next(this.#left)
      this.#left -= part.length
      yield part
    }
  }

  async skipMember(): Promise<void> {
    const here = this.#piece.length
    if (this.#skippable !== undefined && this.#left > here) {
      this.#skippable.skip(this.#left - here)
      this.#piece = Buffer.alloc(0)
      this.#left = 0
    }
    for await (const _part of this.member()) continue
    await this.take(this.#padding)
  }

  async drain(): Promise<void> {
    while ((await this.#source.next()).done !== true) continue
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }

  async #next(atMostBytes: number): Promise<Uint8Array> {
    while (this.#piece.length === 0) {
      const next = await this.#source.next()
      if (next.done === true) throw noTar('it is truncated')
      this.#piece = next.value
    }
    const part = this.#piece.subarray(0, atMostBytes)
    this.#piece = this.#piece.subarray(part.length)
    return part
  }
}
