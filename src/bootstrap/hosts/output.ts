const longestLineBytes = 65_536
/** More than any secret on one line: what is cut through lies in it. */
const cutMargin = 8_192

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

  /**
   * Where the beginning was lost, begins with a whole line, or further in than any secret is long: half a secret would not
   * be known as one.
   */
  text(): string {
    const kept = Buffer.concat(this.#chunks)
    if (!this.truncated) return kept.toString('utf8')
    const lineEnd = kept.subarray(0, cutMargin).indexOf(10)
    return kept.subarray(lineEnd === -1 ? cutMargin : lineEnd + 1).toString('utf8')
  }
}

/** Calls back with each whole line; of one that is longer than 64 KiB with its beginning, and `isCut`. */
export class LineSplitter {
  readonly #onLine: (line: string, isCut: boolean) => void
  #rest: Buffer = Buffer.alloc(0)
  /** Whether the rest of a line is being left out. */
  #skipping = false

  constructor(onLine: (line: string, isCut: boolean) => void) {
    this.#onLine = onLine
  }

  add(chunk: Buffer): void {
    let from = 0
    for (let end = chunk.indexOf(10); end !== -1; end = chunk.indexOf(10, from)) {
      this.#take(chunk.subarray(from, end))
      this.#finish()
      from = end + 1
    }
    this.#take(chunk.subarray(from))
  }

  end(): void {
    if (this.#rest.length > 0) this.#finish()
  }

  #finish(): void {
    if (!this.#skipping) this.#emit(this.#rest, false)
    this.#rest = Buffer.alloc(0)
    this.#skipping = false
  }

  #take(part: Buffer): void {
    if (this.#skipping) return
    this.#rest = Buffer.concat([this.#rest, part])
    if (this.#rest.length <= longestLineBytes) return
    this.#emit(this.#rest.subarray(0, longestLineBytes), true)
    this.#rest = Buffer.alloc(0)
    this.#skipping = true
  }

  #emit(line: Buffer, isCut: boolean): void {
    this.#onLine(line.toString('utf8').replace(/\r$/, ''), isCut)
  }
}

/** A line that was cut, redacted, without the end that may hold half a secret. */
export const cutLine = (redacted: string): string =>
  `${redacted.slice(0, -cutMargin)} … (rest of the line truncated)`

/** The last lines that say something, for an error message. */
export function lastMeaningfulLines(text: string, count: number): readonly string[] {
  return text
    .split('\n')
    .map((line) => line.trimEnd())
    .filter((line) => line.trim() !== '')
    .slice(-count)
}
