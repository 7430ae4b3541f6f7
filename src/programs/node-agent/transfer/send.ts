import type {ServerResponse} from 'node:http'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {pause} from '../../../base/waiting.ts'
import type {DumpFile} from './dump-files.ts'
import {ALIVE_EVERY_MS, headerOf, PIECE_BYTES, SILENCE_MS} from './frames.ts'
import type {DumpView, OutgoingDumps} from './outgoing.ts'

/** A dump that grows is read again after so long. */
const LOOK_AGAIN_MS = 10
/** Pieces that are read and written at the same time. */
const AT_ONCE = 3

interface NextPiece {
  readonly file: DumpFile
  readonly offset: number
  readonly length: number
}

/**
 * Sends a dump as frames: what there is of it, what is added while it grows, and at its end the manifest. Waits until it
 * is begun. Throws CheckpointError TRANSFER_FAILED when nobody reads, and the signal's reason.
 */
export async function sendDump(
  checkpointUid: string,
  response: ServerResponse,
  outgoing: Pick<OutgoingDumps, 'view' | 'read'>,
  signal: AbortSignal,
): Promise<void> {
  const sending = new Sending(response, signal)
  try {
    response.shouldKeepAlive = false
    // Its end is the end of the connection: no length is known before, and chunks of HTTP would be frames around frames.
    response.useChunkedEncodingByDefault = false
    response.writeHead(200, {'content-type': 'application/octet-stream'})
    response.flushHeaders()
    await sending.all(checkpointUid, outgoing)
    await sending.end()
  } finally {
    sending.close()
  }
}

class Sending {
  readonly #response: ServerResponse
  readonly #signal: AbortSignal
  readonly #over = new AbortController()
  /** Buffers, each of which is written before it is filled again. */
  readonly #free: Buffer[] = Array.from({length: AT_ONCE}, () => Buffer.allocUnsafe(PIECE_BYTES))
  readonly #written = new Set<Promise<void>>()
  readonly #sent = new Map<string, number>()
  #epoch: number | undefined
  #lastMs = performance.now()

  constructor(response: ServerResponse, signal: AbortSignal) {
    this.#response = response
    this.#signal = AbortSignal.any([signal, this.#over.signal])
    const give = (why: string) => () => this.#over.abort(failed(why))
    response.once('close', give('the target closed the connection'))
    response.once('error', give('the connection to the target broke'))
    response.setTimeout(SILENCE_MS, give(`the target read nothing for ${SILENCE_MS / 1000} s`))
  }

  async all(uid: string, outgoing: Pick<OutgoingDumps, 'view' | 'read'>): Promise<void> {
    for (;;) {
      this.#signal.throwIfAborted()
      const view = await outgoing.view(uid)
      if (view !== undefined && view.epoch !== this.#epoch) await this.#begin(view)
      const hasSent = view !== undefined && (await this.#sendNew(uid, view, outgoing))
      if (hasSent) continue
      if (view?.manifest !== undefined && this.#isWhole(view)) {
        await this.#write(headerOf({type: 'end', length: view.manifest.length}))
        return this.#write(view.manifest)
      }
      if (performance.now() - this.#lastMs > ALIVE_EVERY_MS) await this.#write(headerOf({type: 'alive'}))
      await pause(LOOK_AGAIN_MS, this.#signal)
    }
  }

  async end(): Promise<void> {
    await Promise.all(this.#written)
    await new Promise<void>((resolve, reject) => {
      this.#signal.addEventListener('abort', () => reject(failed('the connection to the target broke')))
      this.#response.end(resolve)
    })
  }

  close(): void {
    this.#over.abort(failed('it is over'))
    if (!this.#response.writableFinished) this.#response.destroy()
  }

  async #begin({epoch, sizeBytes}: DumpView): Promise<void> {
    const isFirst = this.#epoch === undefined
    this.#epoch = epoch
    this.#sent.clear()
    if (!isFirst) await this.#write(headerOf({type: 'restart'}))
    await this.#write(headerOf({type: 'begin', sizeBytes}))
  }

  #isWhole({files}: DumpView): boolean {
    return files.every((file) => this.#sent.get(keyOf(file)) === file.sizeBytes)
  }

  /** Sends what a view has that was not sent; false: there was nothing. */
  async #sendNew(uid: string, view: DumpView, outgoing: Pick<OutgoingDumps, 'read'>): Promise<boolean> {
    let hasSent = false
    for (const file of view.files) {
      for (;;) {
        const next = this.#nextOf(file, view.manifest !== undefined)
        if (next === undefined) break
        this.#signal.throwIfAborted()
        if (await this.#sendPiece(uid, next, outgoing)) hasSent = true
        else if (view.manifest === undefined) return hasSent
        else throw failed(`the dump is gone, or ${file.absolute} became shorter`)
      }
    }
    return hasSent
  }

  #nextOf(file: DumpFile, isWhole: boolean): NextPiece | undefined {
    const offset = this.#sent.get(keyOf(file))
    const left = file.sizeBytes - (offset ?? 0)
    // An empty file is a piece too. What still grows is sent in whole pieces, so that all count the same ones.
    if (isWhole ? left <= 0 && offset !== undefined : left < PIECE_BYTES) return undefined
    return {file, offset: offset ?? 0, length: Math.min(PIECE_BYTES, left)}
  }

  async #sendPiece(
    uid: string,
    {file, offset, length}: NextPiece,
    outgoing: Pick<OutgoingDumps, 'read'>,
  ): Promise<boolean> {
    while (this.#free.length === 0) await Promise.race(this.#written)
    const buffer = this.#free.pop() ?? Buffer.allocUnsafe(PIECE_BYTES)
    const content = buffer.subarray(0, length)
    const read = await outgoing.read(uid, file, offset, content)
    if (read === undefined) {
      this.#free.push(buffer)
      return false
    }
    const {container, path} = file
    this.#response.cork()
    this.#later(headerOf({type: 'piece', container, path, offset, length, crc: read.crc}))
    this.#later(content, () => this.#free.push(buffer))
    this.#response.uncork()
    this.#sent.set(keyOf(file), offset + length)
    return true
  }

  async #write(bytes: Uint8Array): Promise<void> {
    this.#later(bytes)
    await Promise.all(this.#written)
  }

  #later(bytes: Uint8Array, after: () => void = () => undefined): void {
    const writing = new Promise<void>((resolve, reject) => {
      const broken = (): void => reject(failed('the connection to the target broke'))
      this.#signal.addEventListener('abort', broken, {once: true})
      this.#response.write(bytes, (error) => {
        this.#signal.removeEventListener('abort', broken)
        this.#lastMs = performance.now()
        after()
        if (error) broken()
        else resolve()
      })
    })
    const noted = writing.finally(() => this.#written.delete(noted))
    noted.catch(() => undefined)
    this.#written.add(noted)
  }
}

const keyOf = ({container, path}: DumpFile): string => `${container}/${path}`

const failed = (why: string): CheckpointError => new CheckpointError('TRANSFER_FAILED', why)
