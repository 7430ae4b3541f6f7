import type {Readable} from 'node:stream'
import {z} from 'zod'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {pause} from '../../../base/waiting.ts'
import {
  FrameReader,
  manifestSchema,
  pinSchema,
  SILENCE_MS,
  sumsSchema,
  type Frame,
  type Manifest,
} from './frames.ts'
import {digestOf} from './outgoing.ts'
import {TransferProgram, type StartTransfer} from './program.ts'

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

/** A request that the source has accepted. */
export interface OpenedDump {
  /** Frames. */
  readonly content: Readable
  /** Where the connections for the files are made to. */
  readonly host: string
  readonly port: number
}

export interface ReceiveOptions {
  readonly start: StartTransfer
  /** Requests the dump for the end of the connections that has a key of that pin. */
  readonly open: (pin: string, signal: AbortSignal) => Promise<OpenedDump>
  /** Chosen once, when it is known how large the dump is expected to be; 0: that is not known. Throws as `receiveDump`. */
  readonly place: (expectedBytes: number) => Promise<ReceivingPlace>
  readonly onBytes?: (receivedBytes: number, expectedBytes: number) => void
  /** How long the last files are waited for while nothing of them comes. Default: 30 s. */
  readonly silenceMs?: number
  readonly signal: AbortSignal
}

/** The source began its dump again: it is to be requested again. */
export class RestartedError extends Error {}

const fileSchema = z.strictObject({name: z.string(), sizeBytes: z.int(), crc: z.int()})
type ReceivedFile = z.output<typeof fileSchema>
/** So long the program may take to say why it failed. */
const REASON_MS = 2000

const saidSchema = z.union([
  z.strictObject({pin: pinSchema}),
  z.strictObject({receivedBytes: z.int()}),
  z.strictObject({received: z.array(fileSchema)}),
  z.strictObject({failed: z.enum(['TooLarge', 'Full'])}),
])
type Said = z.output<typeof saidSchema>

/**
 * Writes a dump that another node sends. Nothing but files and folders is made, for their owner alone, and nothing
 * outside of the folder; what is there counts only when this returns. Throws CheckpointError TRANSFER_FAILED, TOO_LARGE,
 * and RestartedError; what was written until then is the caller's to remove, and nothing is written after.
 */
export async function receiveDump(options: ReceiveOptions): Promise<ReceivedDump> {
  const over = new AbortController()
  const signal = AbortSignal.any([options.signal, over.signal])
  const receiving = new Receiving(options)
  const child = await options.start(['receive-dump'], {signal})
  await using program = new TransferProgram(child, saidSchema, (said) => receiving.take(said))
  try {
    return await receiving.all(program, signal)
  } catch (error) {
    options.signal.throwIfAborted()
    throw error
  } finally {
    over.abort(new Error('it is over'))
    await receiving.close()
  }
}

class Receiving {
  readonly #options: ReceiveOptions
  readonly #pin = Promise.withResolvers<string>()
  #opened: OpenedDump | undefined
  #placing: Promise<ReceivingPlace> | undefined
  #place: ReceivingPlace | undefined
  #isOver = false
  #expectedBytes = 0
  #receivedBytes = 0
  #lastMs = performance.now()
  #files: readonly ReceivedFile[] = []
  #sums: Buffer | undefined
  #refusal: Extract<Said, {failed: string}>['failed'] | undefined

  constructor(options: ReceiveOptions) {
    this.#options = options
  }

  take(said: Said): void {
    if ('pin' in said) this.#pin.resolve(said.pin)
    else if ('received' in said) this.#files = said.received
    else if ('failed' in said) this.#refusal = said.failed
    else {
      this.#lastMs = performance.now()
      this.#receivedBytes = said.receivedBytes
      this.#options.onBytes?.(said.receivedBytes, this.#expectedBytes)
    }
  }

  /** After that no place is made. */
  async close(): Promise<void> {
    this.#isOver = true
    this.#opened?.content.destroy()
    await this.#placing?.catch(() => undefined)
  }

  async all(program: TransferProgram<Said>, signal: AbortSignal): Promise<ReceivedDump> {
    const over = Promise.withResolvers<never>()
    over.promise.catch(() => undefined)
    const aborted = (): void => over.reject(asError(signal.reason))
    if (signal.aborted) aborted()
    signal.addEventListener('abort', aborted)
    program.ended.catch((error: unknown) => over.reject(this.#failureOf(error)))
    const work = async (): Promise<ReceivedDump> => {
      const pin = await this.#pin.promise
      this.#opened = await this.#options.open(pin, signal)
      if (this.#isOver) this.#opened.content.destroy()
      const manifest = await this.#frames(this.#opened, program, signal)
      await Promise.race([program.ended, this.#silence(signal)])
      return this.#checked(manifest)
    }
    try {
      return await Promise.race([work(), over.promise])
    } finally {
      signal.removeEventListener('abort', aborted)
    }
  }

  /** Follows what the source says until it has sent the manifest. */
  async #frames(
    {content, host, port}: OpenedDump,
    program: TransferProgram<Said>,
    signal: AbortSignal,
  ): Promise<Buffer> {
    let manifest: Buffer | undefined
    const waiting: Frame[] = []
    const reader = new FrameReader((frame, body) => {
      if (manifest !== undefined) throw failed('the source sent something after the end')
      if (frame.type === 'end') manifest = body
      else if (frame.type === 'sums') this.#sums = body
      else waiting.push(frame)
    })
    try {
      for await (const chunk of content as AsyncIterable<Buffer>) {
        reader.push(chunk)
        for (const frame of waiting.splice(0)) await this.#follow(frame, {host, port}, program)
        // The connection need not end for that.
        if (manifest !== undefined) break
      }
    } catch (error) {
      if (error instanceof CheckpointError || error instanceof RestartedError) throw error
      throw await this.#brokenBy(program, signal, error)
    }
    if (manifest === undefined) throw await this.#brokenBy(program, signal)
    if (!reader.isBetweenFrames) throw failed('the source sent something after the end')
    return manifest
  }

  /** A program that fails closes its connections before it says why, and the source then ends the response. */
  async #brokenBy(program: TransferProgram<Said>, signal: AbortSignal, cause?: unknown): Promise<Error> {
    const itself = program.ended.then(
      () => undefined,
      (error: unknown) => this.#failureOf(error),
    )
    return (await Promise.race([itself, pause(REASON_MS, signal).then(() => undefined)])) ?? broken(cause)
  }

  async #follow(
    frame: Frame,
    address: Pick<OpenedDump, 'host' | 'port'>,
    program: TransferProgram<Said>,
  ): Promise<void> {
    if (frame.type === 'connect') {
      const {id, connections} = frame
      program.tell({connect: {...address, id, connections}})
    } else if (frame.type === 'pin') program.tell({pin: frame.pin})
    else if (frame.type === 'restart') throw new RestartedError('the source began the dump again')
    else if (frame.type === 'begin') await this.#begin(frame.sizeBytes, program)
  }

  async #begin(expectedBytes: number, program: TransferProgram<Said>): Promise<void> {
    if (this.#isOver) throw broken()
    if (this.#placing !== undefined) throw failed('the source sent the beginning of the dump twice')
    this.#expectedBytes = expectedBytes
    this.#placing = this.#options.place(expectedBytes)
    this.#place = await this.#placing
    const {folder, maxBytes} = this.#place
    if (expectedBytes > maxBytes) throw tooLarge(maxBytes)
    program.tell({into: {folder, maxBytes: Math.floor(maxBytes)}})
  }

  /** Throws when nothing comes any more. */
  async #silence(signal: AbortSignal): Promise<never> {
    const {silenceMs = SILENCE_MS} = this.#options
    this.#lastMs = performance.now()
    const {promise, reject} = Promise.withResolvers<never>()
    const timer = setInterval(
      () => {
        if (performance.now() - this.#lastMs > silenceMs)
          reject(failed(`the source sent nothing for ${silenceMs / 1000} s`))
      },
      Math.min(1000, silenceMs),
    )
    signal.addEventListener('abort', () => clearInterval(timer), {once: true})
    return promise.finally(() => clearInterval(timer))
  }

  #failureOf(error: unknown): Error {
    const {maxBytes = 0, folder = ''} = this.#place ?? {}
    if (this.#refusal === 'TooLarge') return tooLarge(maxBytes)
    if (this.#refusal === 'Full')
      return new CheckpointError('TOO_LARGE', `there is no space left for the dump in ${folder}`, {
        cause: error,
      })
    return failed(asError(error).message, error)
  }

  #checked(bytes: Buffer): ReceivedDump {
    const manifest = parsedManifest(bytes)
    const sums = parsedSums(this.#sums)
    if (sums.length !== manifest.files.length) throw failed('the source did not send a checksum of each file')
    const received = new Map(this.#files.map((file) => [file.name, file]))
    for (const [index, {container, path, sizeBytes}] of manifest.files.entries()) {
      const key = `${container}/${path}`
      const file = received.get(key)
      // Also one that is listed twice.
      if (file?.sizeBytes !== sizeBytes || file.crc !== sums[index] || !received.delete(key))
        throw failed(`${key} is not what the source describes`)
      if (!manifest.containers.includes(container)) throw failed(`container ${container} is not listed`)
    }
    const [extra] = received.keys()
    if (extra !== undefined) throw failed(`${extra} is not in the manifest of the dump`)
    if (this.#place === undefined) throw failed('the source did not say that the dump begins')
    const {containers} = manifest
    return {folder: this.#place.folder, digest: digestOf(bytes), sizeBytes: this.#receivedBytes, containers}
  }
}

function parsedManifest(bytes: Buffer): Manifest {
  try {
    return manifestSchema.parse(JSON.parse(bytes.toString()))
  } catch (error) {
    throw failed('the manifest of the dump is invalid', error)
  }
}

function parsedSums(bytes: Buffer | undefined): readonly number[] {
  try {
    return sumsSchema.parse(JSON.parse(bytes?.toString() ?? ''))
  } catch (error) {
    throw failed('the checksums of the dump are invalid', error)
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
