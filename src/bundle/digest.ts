import {createHash} from 'node:crypto'
import type {Hash} from 'node:crypto'
import {createReadStream, existsSync} from 'node:fs'
import {rename, rm} from 'node:fs/promises'
import {Transform} from 'node:stream'
import {pipeline} from 'node:stream/promises'

export interface Digest {
  /** Hex sha256. */
  readonly sha256: string
  readonly sizeBytes: number
}

/** Counts and hashes what flows through it. */
export class Digester extends Transform {
  readonly #hash: Hash = createHash('sha256')
  #sizeBytes = 0

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error: null, chunk: Buffer) => void,
  ): void {
    this.#hash.update(chunk)
    this.#sizeBytes += chunk.length
    done(null, chunk)
  }

  /** Once, after the stream has ended. */
  digest(): Digest {
    return {sha256: this.#hash.digest('hex'), sizeBytes: this.#sizeBytes}
  }
}

/** Size and hex sha256 of a file. */
export async function digestFile(path: string, signal: AbortSignal): Promise<Digest> {
  const digester = new Digester()
  digester.resume()
  await pipeline(createReadStream(path, {highWaterMark: 1 << 20}), digester, {signal})
  return digester.digest()
}

export function sha256Of(content: string | Uint8Array): string {
  return createHash('sha256').update(content).digest('hex')
}

/** Moves a finished folder to a place named by its content; where another process was first, its copy stays. */
export async function moveFolder(from: string, to: string): Promise<void> {
  try {
    await rename(from, to)
  } catch (error) {
    if (!existsSync(to)) throw error
    await rm(from, {recursive: true, force: true})
  }
}
