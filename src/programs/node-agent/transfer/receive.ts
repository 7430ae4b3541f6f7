import {mkdir, open, rm, type FileHandle} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import type {Readable} from 'node:stream'
import {crc32} from 'node:zlib'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {crcOfPieces} from './dump-files.ts'
import {FrameReader, manifestSchema, PIECE_BYTES, type Frame, type Manifest} from './frames.ts'
import {digestOf} from './outgoing.ts'

/** As many pieces wait to be written before no more is read. */
const WAITING_PIECES = 4
const MAX_FILES = 100_000
/** Files that are kept open: processes are dumped one after another, and each has a file of its own. */
const MAX_OPEN = 32

export interface ReceivedDump {
  /** One folder per container below it. */
  readonly folder: string
  readonly digest: string
  readonly sizeBytes: number
  readonly containers: readonly string[]
}

/** Where a dump is written. */
export interface ReceivingPlace {
  /** Made for it; one folder per container below it. */
  readonly folder: string
  /** What may be written. */
  readonly maxBytes: number
}

export interface ReceiveOptions {
  /** Chosen once, when it is known how large the dump is expected to be; 0: that is not known. Throws as `receiveDump`. */
  readonly place: (expectedBytes: number) => Promise<ReceivingPlace>
  readonly onBytes?: (receivedBytes: number, expectedBytes: number) => void
  readonly signal: AbortSignal
}

/**
 * Writes a dump that another node sends. Nothing but files and folders is made, for their owner alone, and nothing
 * outside of the folder; what is there counts only when this returns. Throws CheckpointError TRANSFER_FAILED, TOO_LARGE;
 * what was written until then is the caller's to remove.
 */
export async function receiveDump(content: Readable, options: ReceiveOptions): Promise<ReceivedDump> {
  const receiving = new Receiving(content, options)
  try {
    return await receiving.result
  } finally {
    content.destroy()
    await receiving.close()
  }
}

interface ReceivedFile {
  sizeBytes: number
  readonly crcs: number[]
}

class Receiving {
  readonly result: Promise<ReceivedDump>
  readonly #content: Readable
  readonly #options: ReceiveOptions
  readonly #free: Buffer[] = []
  readonly #files = new Map<string, ReceivedFile>()
  readonly #open = new Map<string, FileHandle>()
  readonly #reader: FrameReader
  /** Writes happen one after another, in the order of the frames. */
  #writing: Promise<void> = Promise.resolve()
  #waiting = 0
  #receivedBytes = 0
  #expectedBytes = 0
  #place: ReceivingPlace | undefined
  #manifest: Buffer | undefined
  #fail: (error: unknown) => void = () => undefined
  #succeed: (received: Promise<ReceivedDump>) => void = () => undefined

  constructor(content: Readable, options: ReceiveOptions) {
    this.#content = content
    this.#options = options
    this.#reader = new FrameReader(
      (frame) => (frame.type === 'end' ? Buffer.alloc(frame.length) : this.#buffer()),
      (frame, body) => this.#take(frame, body),
    )
    const {signal} = options
    this.result = new Promise<ReceivedDump>((resolve, reject) => {
      this.#fail = reject
      this.#succeed = resolve
      const aborted = (): void => reject(asError(signal.reason))
      if (signal.aborted) aborted()
      signal.addEventListener('abort', aborted, {once: true})
      content.on('data', (chunk: Buffer) => this.#push(chunk))
      content.once('error', (cause) => reject(broken(cause)))
      content.once('close', () => {
        if (this.#manifest === undefined) reject(broken())
      })
    })
  }

  async close(): Promise<void> {
    await this.#writing.catch(() => undefined)
    await this.#closeFiles()
  }

  #push(chunk: Buffer): void {
    try {
      if (this.#hasEnded()) return
      this.#reader.push(chunk)
      // The connection need not end for that.
      if (this.#manifest !== undefined) this.#succeed(this.#ended(this.#manifest))
    } catch (error) {
      this.#content.destroy()
      this.#fail(error)
    }
  }

  #hasEnded(): boolean {
    return this.#manifest !== undefined
  }

  #buffer(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafe(PIECE_BYTES)
  }

  #take(frame: Frame, body: Buffer): void {
    if (this.#manifest !== undefined) throw failed('the source sent something after the end')
    if (frame.type === 'end') this.#manifest = body
    else if (frame.type === 'begin') this.#later(() => this.#begin(frame.sizeBytes))
    else if (frame.type === 'restart') {
      this.#receivedBytes = 0
      this.#later(() => this.#restart())
    } else if (frame.type === 'piece') this.#piece(frame, body)
  }

  #piece(frame: Frame & {type: 'piece'}, body: Buffer): void {
    this.#receivedBytes += body.length
    const receivedBytes = this.#receivedBytes
    this.#waiting += 1
    if (this.#waiting >= WAITING_PIECES) this.#content.pause()
    this.#later(async () => {
      const {folder, maxBytes} = this.#placed()
      if (receivedBytes > maxBytes) throw tooLarge(maxBytes)
      await this.#write(frame, body, folder)
      if (body.length > 0) this.#free.push(Buffer.from(body.buffer, body.byteOffset, PIECE_BYTES))
      this.#options.onBytes?.(receivedBytes, this.#expectedBytes)
      this.#waiting -= 1
      if (this.#waiting < WAITING_PIECES) this.#content.resume()
    })
  }

  #later(work: () => Promise<void>): void {
    this.#writing = this.#writing.then(work)
    this.#writing.catch((error: unknown) => {
      this.#fail(error)
      this.#content.destroy()
    })
  }

  async #begin(expectedBytes: number): Promise<void> {
    this.#expectedBytes = expectedBytes
    this.#place ??= await this.#options.place(expectedBytes)
    if (expectedBytes > this.#place.maxBytes) throw tooLarge(this.#place.maxBytes)
  }

  #placed(): ReceivingPlace {
    if (this.#place === undefined) throw failed('the source did not say that the dump begins')
    return this.#place
  }

  async #write(
    {container, path, offset, crc}: Frame & {type: 'piece'},
    body: Buffer,
    folder: string,
  ): Promise<void> {
    const key = `${container}/${path}`
    const known = this.#files.get(key)
    if ((known?.sizeBytes ?? 0) !== offset || (known !== undefined && body.length === 0))
      throw failed(`the source sent bytes of ${key} at ${offset}, expected ${known?.sizeBytes ?? 0}`)
    if (known !== undefined && known.sizeBytes % PIECE_BYTES !== 0)
      throw failed(`the source sent bytes after the end of ${key}`)
    if (crc32(body) !== crc) throw failed(`bytes of ${key} at ${offset} were changed on their way`)
    if (known === undefined && this.#files.size >= MAX_FILES) throw failed(`more than ${MAX_FILES} files`)
    const file = known ?? {sizeBytes: 0, crcs: []}
    this.#files.set(key, file)
    const handle = await this.#handleOf(key, known === undefined, folder)
    for (let done = 0; done < body.length;)
      done += (await handle.write(body, done, body.length - done, offset + done)).bytesWritten
    file.sizeBytes += body.length
    file.crcs.push(crc)
  }

  async #handleOf(key: string, isNew: boolean, folder: string): Promise<FileHandle> {
    const known = this.#open.get(key)
    if (known !== undefined) return known
    const path = join(folder, key)
    if (isNew) await mkdir(dirname(path), {recursive: true, mode: 0o700})
    const [oldest] = this.#open
    if (oldest !== undefined && this.#open.size >= MAX_OPEN) {
      this.#open.delete(oldest[0])
      await oldest[1].close()
    }
    const handle = await open(path, isNew ? 'wx' : 'r+', 0o600)
    this.#open.set(key, handle)
    return handle
  }

  async #restart(): Promise<void> {
    await this.#closeFiles()
    this.#files.clear()
    const {folder} = this.#placed()
    await rm(folder, {recursive: true, force: true})
    await mkdir(folder, {mode: 0o700})
  }

  async #closeFiles(): Promise<void> {
    const handles = [...this.#open.values()]
    this.#open.clear()
    await Promise.all(handles.map((handle) => handle.close()))
  }

  async #ended(bytes: Buffer): Promise<ReceivedDump> {
    if (!this.#reader.isBetweenFrames) throw failed('the source sent something after the end')
    await this.#writing
    const manifest = parsedManifest(bytes)
    const listed = new Set<string>()
    for (const {container, path, sizeBytes, crc} of manifest.files) {
      const key = `${container}/${path}`
      const file = this.#files.get(key)
      if (file?.sizeBytes !== sizeBytes || crcOfPieces(file.crcs) !== crc || listed.has(key))
        throw failed(`${key} is not what the manifest of the dump describes`)
      if (!manifest.containers.includes(container)) throw failed(`container ${container} is not listed`)
      listed.add(key)
    }
    const extra = [...this.#files.keys()].find((key) => !listed.has(key))
    if (extra !== undefined) throw failed(`${extra} is not in the manifest of the dump`)
    const {containers} = manifest
    const {folder} = this.#placed()
    return {folder, digest: digestOf(bytes), sizeBytes: this.#receivedBytes, containers}
  }
}

function parsedManifest(bytes: Buffer): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(bytes.toString()))
  } catch (error) {
    throw failed('the manifest of the dump is invalid', error)
  }
}

const tooLarge = (maxBytes: number): CheckpointError =>
  new CheckpointError(
    'TOO_LARGE',
    `the dump is larger than ${maxBytes} bytes, as much as is free for it on the target`,
  )

const asError = (reason: unknown): Error => (reason instanceof Error ? reason : new Error(String(reason)))

const broken = (cause?: unknown): CheckpointError =>
  failed('the connection to the source ended before all was received', cause)

const failed = (why: string, cause?: unknown): CheckpointError =>
  new CheckpointError('TRANSFER_FAILED', why, cause === undefined ? {} : {cause})
