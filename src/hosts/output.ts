/** Bytes of one output stream, of which only the last `limitBytes` are kept. */
export class OutputTail {
  readonly #limitBytes: number
  #chunks: Buffer[] = []
  #sizeBytes = 0
  truncated = false

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes
  }

  add(chunk: Buffer): void {
    this.#chunks.push(chunk)
    this.#sizeBytes += chunk.length
    for (let first = this.#chunks[0]; first !== undefined; first = this.#chunks[0]) {
      const excess = this.#sizeBytes - this.#limitBytes
      if (excess <= 0) return
      this.truncated = true
      if (first.length <= excess) this.#chunks.shift()
      else this.#chunks[0] = first.subarray(excess)
      this.#sizeBytes -= Math.min(first.length, excess)
    }
  }

  text(): string {
    return Buffer.concat(this.#chunks).toString('utf8')
  }
}

/** Calls back with each whole line; a line that never ends is cut at 64 KiB. */
export class LineSplitter {
  readonly #onLine: (line: string) => void
  #rest: Buffer = Buffer.alloc(0)

  constructor(onLine: (line: string) => void) {
    this.#onLine = onLine
  }

  add(chunk: Buffer): void {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      this.#emit(Buffer.concat([this.#rest, chunk.subarray(from, end)]))
      this.#rest = Buffer.alloc(0)
      from = end + 1
    }
    this.#rest = Buffer.concat([this.#rest, chunk.subarray(from)])
    if (this.#rest.length > 65_536) this.end()
  }

  end(): void {
    if (this.#rest.length > 0) this.#emit(this.#rest)
    this.#rest = Buffer.alloc(0)
  }

  #emit(line: Buffer): void {
    this.#onLine(line.toString('utf8').replace(/\r$/, ''))
  }
}

/** The last lines that say something, for an error message. */
export function lastMeaningfulLines(text: string, count: number): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line.trim() !== '')
    .slice(-count)
}
