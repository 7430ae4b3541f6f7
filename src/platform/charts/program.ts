import {execFile} from 'node:child_process'
import {PlatformError, type PlatformErrorCode} from '../errors.ts'

export interface ProgramRun {
  readonly program: string
  readonly args: readonly string[]
  /** All of it: nothing else of the environment of this process. Never a secret. */
  readonly environment: Readonly<Record<string, string>>
  readonly signal: AbortSignal
  readonly timeoutMs?: number
  /** Of the error when it fails, and its beginning: `cannot render chart charts/iam`. */
  readonly code: PlatformErrorCode
  readonly what: string
  /** Takes secrets out of what the program wrote. */
  readonly redact?: (text: string) => string
}

const MAX_OUTPUT_BYTES = 64 * 1024 * 1024
const TIMEOUT_MS = 120_000

/** Runs a program to its end and gives its standard output. Throws PlatformError with its last lines. */
export async function runProgram(run: ProgramRun): Promise<string> {
  const {
    program,
    args,
    environment,
    signal,
    timeoutMs = TIMEOUT_MS,
    code,
    what,
    redact = (text: string): string => text,
  } = run
  signal.throwIfAborted()
  return new Promise((resolve, reject) => {
    const options = {
      env: {...environment},
      signal,
      timeout: timeoutMs,
      killSignal: 'SIGKILL',
      maxBuffer: MAX_OUTPUT_BYTES,
    } as const
    const child = execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) {
        resolve(stdout)
        return
      }
      if (signal.aborted) {
        reject(signal.reason instanceof Error ? signal.reason : new Error('aborted', {cause: signal.reason}))
        return
      }
      const lines = stderr.trim().split('\n').slice(-8).join('\n')
      const how = error.killed === true ? `it did not end within ${timeoutMs / 1000} s` : lines
      // The error of Node.js itself holds all arguments; what the program wrote is what counts.
      reject(new PlatformError(code, `${what}: ${redact(how === '' ? error.message : how)}`))
    })
    child.stdin?.end()
  })
}
