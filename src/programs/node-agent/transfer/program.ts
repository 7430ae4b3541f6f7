import type {ChildProcess} from 'node:child_process'
import type {Socket} from 'node:net'
import type {z} from 'zod'
import {errorMessage} from '../../../base/errors.ts'
import {jsonOf} from '../../../base/json.ts'

/**
 * Starts the program of the node that moves the files of dumps, with its standard input, output and errors as pipes;
 * `sockets` are its file descriptors from 3 on. It is killed when the signal is aborted.
 */
export type StartTransfer = (
  words: readonly string[],
  options: {readonly sockets?: readonly Socket[]; readonly signal: AbortSignal},
) => Promise<ChildProcess>

/** The program exited as one that failed, or was killed. */
export class TransferProgramError extends Error {}

const MAX_ERROR_CHARACTERS = 2000
/** The list of all files of a dump. */
const MAX_LINE_CHARACTERS = 64 * 1024 * 1024

/** A program that is spoken with in lines of JSON. */
export class TransferProgram<Said> implements AsyncDisposable {
  /** Resolves when it exited with code 0, and all that it said was taken. Throws TransferProgramError. */
  readonly ended: Promise<void>
  readonly #child: ChildProcess
  readonly #closed: Promise<void>

  /** `onSaid` may throw: then the program is killed, and that is what it ended with. */
  constructor(child: ChildProcess, schema: z.ZodType<Said>, onSaid: (said: Said) => void) {
    this.#child = child
    let problem: unknown
    let errors = ''
    const fail = (error: unknown): void => {
      problem ??= error
      child.kill('SIGKILL')
    }
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      errors = (errors + text).slice(-MAX_ERROR_CHARACTERS)
    })
    child.stdout?.setEncoding('utf8').on(
      'data',
      linesOf((line) => {
        if (problem !== undefined) return
        try {
          onSaid(schema.parse(jsonOf(line)))
        } catch (error) {
          fail(error)
        }
      }, fail),
    )
    // What is written to one that has exited is lost; why it exited is told by its end.
    child.stdin?.on('error', () => undefined)
    // Of a signal that is aborted; `close` comes all the same.
    child.on('error', (error) => (problem ??= error))
    const ended = new Promise<number | null>((resolve) => child.once('close', resolve))
    this.#closed = ended.then(() => undefined)
    this.ended = ended.then((code) => {
      if (problem !== undefined) throw problem instanceof Error ? problem : new Error(errorMessage(problem))
      if (code !== 0) throw new TransferProgramError(errors.trim() || 'the program was killed')
    })
    this.ended.catch(() => undefined)
  }

  tell(command: object): void {
    this.#child.stdin?.write(`${JSON.stringify(command)}\n`)
  }

  /** Kills it unless it has ended; after that it writes nothing any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await this.#closed
  }
}

/** Calls for each line of a text that comes in parts. */
function linesOf(onLine: (line: string) => void, onTooLong: (error: Error) => void): (part: string) => void {
  let parts: string[] = []
  let characters = 0
  return (part) => {
    const [first = '', ...rest] = part.split('\n')
    parts.push(first)
    characters += first.length
    if (characters > MAX_LINE_CHARACTERS) onTooLong(new Error('the program wrote a line without end'))
    for (const next of rest) {
      onLine(parts.join(''))
      parts = [next]
      characters = next.length
    }
  }
}
