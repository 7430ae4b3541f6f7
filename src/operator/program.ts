import type {Log} from './log.ts'

/** What a program is started with. */
export interface ProgramStart {
  /** Variables as its pod gives them; each program has a schema of its own. */
  readonly environment: Readonly<Record<string, string | undefined>>
  /** Script of the threads that programs start. */
  readonly threads: URL
  /** Milliseconds since the epoch. */
  readonly now: () => number
  readonly log: Log
  readonly signal: AbortSignal
}

/** A program of the cluster: works until the signal is aborted; rejects when it cannot go on. */
export type Program = (start: ProgramStart) => Promise<void>
