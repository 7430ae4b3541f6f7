import type {ServerResponse} from 'node:http'
import {z} from 'zod'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {pause} from '../../../base/waiting.ts'
import type {DataConnections} from './data-connections.ts'
import {crcOfPieces, pieceCount, type DumpFile} from './dump-files.ts'
import {ALIVE_EVERY_MS, headerOf, PIECE_BYTES, pinSchema, SILENCE_MS} from './frames.ts'
import type {DumpView, OutgoingDumps} from './outgoing.ts'
import {TransferProgram, type StartTransfer} from './program.ts'

/** A dump that grows is read again after so long. */
const LOOK_AGAIN_MS = 10

export interface SendOptions {
  readonly outgoing: Pick<OutgoingDumps, 'view' | 'inodeOf' | 'notePiece'>
  readonly data: DataConnections
  /** Over which the files are sent at the same time. */
  readonly connections: number
  readonly start: StartTransfer
  /** Of the key of the target. */
  readonly pin: string
}

const saidSchema = z.union([
  z.strictObject({pin: pinSchema}),
  /** Whether the file of a command was there; if not, nothing of it is sent. */
  z.strictObject({number: z.int(), isOpen: z.boolean()}),
  z.strictObject({name: z.string(), offset: z.int(), crc: z.int()}),
])
type Said = z.output<typeof saidSchema>

/** Bytes that the program was told to send, and has not answered whether it can. */
interface Asked {
  readonly file: DumpFile
  readonly offset: number
  /** Of a complete dump: what is not there now never will be. */
  readonly isFinal: boolean
}

/**
 * Sends a dump: what there is of it, what is added while it grows, and at its end the manifest. Waits until it is begun.
 * The response carries frames, and connections that the target makes the files. Throws CheckpointError TRANSFER_FAILED
 * when nobody reads, and the signal's reason.
 */
export async function sendDump(
  checkpointUid: string,
  response: ServerResponse,
  options: SendOptions,
  signal: AbortSignal,
): Promise<void> {
  const sending = new Sending(checkpointUid, response, options, signal)
  try {
    response.shouldKeepAlive = false
    // Its end is the end of the connection: no length is known before, and chunks of HTTP would be frames around frames.
    response.useChunkedEncodingByDefault = false
    response.writeHead(200, {'content-type': 'application/octet-stream'})
    response.flushHeaders()
    await sending.all()
  } finally {
    sending.close()
  }
}

class Sending {
  readonly #uid: string
  readonly #response: ServerResponse
  readonly #options: SendOptions
  readonly #signal: AbortSignal
  readonly #over = new AbortController()
  /** By container and path: up to where the program was told to send. */
  readonly #sent = new Map<string, number>()
  readonly #asked = new Map<number, Asked>()
  /** By container and path: the CRC-32 of each piece that was sent. */
  readonly #crcs = new Map<string, number[]>()
  #lastNumber = 0
  #epoch: number | undefined
  #lastMs = performance.now()

  constructor(uid: string, response: ServerResponse, options: SendOptions, signal: AbortSignal) {
    this.#uid = uid
    this.#response = response
    this.#options = options
    this.#signal = AbortSignal.any([signal, this.#over.signal])
    const give = (why: string) => () => this.#over.abort(failed(why))
    response.once('close', give('the target closed the connection'))
    response.once('error', give('the connection to the target broke'))
    response.setTimeout(SILENCE_MS, give(`the target read nothing for ${SILENCE_MS / 1000} s`))
  }

  async all(): Promise<void> {
    const {data, connections, start, pin} = this.#options
    const {id, sockets} = data.expect(connections, this.#signal)
    await this.#write(headerOf({type: 'connect', id, connections}))
    const made = await sockets
    const words = ['send-dump', '--peer', pin, '--connections', String(connections)]
    const child = await start(words, {sockets: made, signal: this.#signal}).finally(() => {
      // The program has its own.
      for (const socket of made) socket.destroy()
    })
    const own = Promise.withResolvers<string>()
    await using program = new TransferProgram(child, saidSchema, (said) => this.#take(said, own.resolve))
    program.ended.catch((error: unknown) => this.#over.abort(asFailed(error)))
    const pinned = own.promise.then((found) => this.#write(headerOf({type: 'pin', pin: found})))
    await this.#unlessOver(pinned)
    if (await this.#files(program)) await this.#write(headerOf({type: 'restart'}))
    await this.#end()
  }

  close(): void {
    this.#over.abort(failed('it is over'))
    if (!this.#response.writableFinished) this.#response.destroy()
  }

  /** Sends files until there are no more, and the manifest. True: the dump was begun again, and is no longer sent. */
  async #files(program: TransferProgram<Said>): Promise<boolean> {
    const {outgoing} = this.#options
    for (;;) {
      this.#signal.throwIfAborted()
      const view = await outgoing.view(this.#uid)
      if (view !== undefined && this.#epoch === undefined) await this.#begin(view)
      // Also one that is gone: if it is begun again, it is another one.
      if (view?.epoch !== this.#epoch) return true
      if (view !== undefined) await this.#sendNew(view, program)
      if (view?.manifest !== undefined && this.#isWhole(view)) {
        program.tell({end: true})
        await this.#unlessOver(program.ended)
        const sums = Buffer.from(JSON.stringify(view.files.map((file) => this.#sumOf(file))))
        await this.#write(headerOf({type: 'sums', length: sums.length}))
        await this.#write(sums)
        await this.#write(headerOf({type: 'end', length: view.manifest.length}))
        await this.#write(view.manifest)
        return false
      }
      if (performance.now() - this.#lastMs > ALIVE_EVERY_MS) await this.#write(headerOf({type: 'alive'}))
      await pause(LOOK_AGAIN_MS, this.#signal)
    }
  }

  async #begin({epoch, sizeBytes}: DumpView): Promise<void> {
    this.#epoch = epoch
    await this.#write(headerOf({type: 'begin', sizeBytes}))
  }

  #isWhole({files}: DumpView): boolean {
    return this.#asked.size === 0 && files.every((file) => this.#sent.get(keyOf(file)) === file.sizeBytes)
  }

  /** Has the program send what a view has that it was not told of. */
  async #sendNew({files, manifest}: DumpView, program: TransferProgram<Said>): Promise<void> {
    const isFinal = manifest !== undefined
    const unanswered = new Set([...this.#asked.values()].map(({file}) => keyOf(file)))
    for (const file of files) {
      // What is behind a range that could not be sent would be sent twice.
      if (unanswered.has(keyOf(file))) continue
      const known = this.#sent.get(keyOf(file))
      const offset = known ?? 0
      const left = file.sizeBytes - offset
      // An empty file is sent too. What still grows is sent in whole pieces, so that all count the same ones.
      const length = isFinal ? left : left - (left % PIECE_BYTES)
      if (isFinal ? left <= 0 && known !== undefined : length <= 0) continue
      const inode = await this.#options.outgoing.inodeOf(this.#uid, file)
      // Renamed, or gone: the next view has it.
      if (inode === undefined && !isFinal) continue
      const number = (this.#lastNumber += 1)
      this.#asked.set(number, {file, offset, isFinal})
      this.#sent.set(keyOf(file), offset + length)
      const {container, path, absolute} = file
      const folder = absolute.slice(0, -path.length - 1)
      program.tell({
        send: {number, folder, container, path, offset, length, ...(inode === undefined ? {} : {inode})},
      })
    }
  }

  #take(said: Said, onPin: (pin: string) => void): void {
    if ('pin' in said) onPin(said.pin)
    else if ('crc' in said) this.#sentPiece(said)
    else {
      const asked = this.#asked.get(said.number)
      this.#asked.delete(said.number)
      if (said.isOpen || asked === undefined) return
      const {file, offset, isFinal} = asked
      if (isFinal) throw failed(`the dump is gone, or ${file.absolute} became shorter`)
      // It has another name now, which the next view tells.
      this.#sent.set(keyOf(file), offset)
    }
  }

  #sentPiece({
    name,
    offset,
    crc,
  }: {
    readonly name: string
    readonly offset: number
    readonly crc: number
  }): void {
    const crcs = this.#crcs.get(name) ?? []
    this.#crcs.set(name, crcs)
    crcs[offset / PIECE_BYTES] = crc
    this.#options.outgoing.notePiece(this.#uid, this.#epoch ?? 0, name)
  }

  #sumOf(file: DumpFile): number {
    const crcs = Array.from(
      {length: pieceCount(file.sizeBytes)},
      (_, index) => this.#crcs.get(keyOf(file))?.[index],
    )
    const known = crcs.filter((crc) => crc !== undefined)
    if (known.length < crcs.length) throw failed(`the program did not report all of ${file.absolute}`)
    return crcOfPieces(known)
  }

  async #end(): Promise<void> {
    const ended = new Promise<void>((resolve) => this.#response.end(resolve))
    await this.#unlessOver(ended)
  }

  #write(bytes: Uint8Array): Promise<void> {
    this.#lastMs = performance.now()
    const written = new Promise<void>((resolve, reject) => {
      this.#response.write(bytes, (error) =>
        error ? reject(failed('the connection to the target broke')) : resolve(),
      )
    })
    return this.#unlessOver(written)
  }

  /** What is waited for, unless the transfer ends before. */
  async #unlessOver<T>(wanted: Promise<T>): Promise<T> {
    const signal = this.#signal
    const over = Promise.withResolvers<never>()
    const end = (): void => over.reject(signal.reason instanceof Error ? signal.reason : failed('it is over'))
    signal.addEventListener('abort', end)
    try {
      signal.throwIfAborted()
      return await Promise.race([wanted, over.promise])
    } finally {
      signal.removeEventListener('abort', end)
    }
  }
}

const keyOf = ({container, path}: DumpFile): string => `${container}/${path}`

const failed = (why: string): CheckpointError => new CheckpointError('TRANSFER_FAILED', why)

const asFailed = (error: unknown): Error =>
  error instanceof CheckpointError
    ? error
    : failed(error instanceof Error ? error.message : `the program ended: ${String(error)}`)
