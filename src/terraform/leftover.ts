import {readFile, stat} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {isMissing} from '../base/system-errors.ts'
import {waitFor} from '../base/waiting.ts'
import type {StateLock} from './failures.ts'

const runRecordSchema = z.object({
  pid: z.int(),
  /** Which process had that pid, as `Identify` says. */
  identity: z.string(),
  startedAt: z.iso.datetime(),
})
export type RunRecord = Readonly<z.output<typeof runRecordSchema>>

/** Names the process that has a pid now, so that a reused pid is not taken for the old one; undefined: none. */
export type Identify = (pid: number) => Promise<string | undefined>

export interface DeadRun extends RunRecord {
  /** When it wrote its last line, ms since the epoch. */
  readonly lastSeenMs: number
}

const longestRunMs = 2 * 3_600_000
const waitIntervalMs = 500
/** Between start and lock Terraform only loads its configuration and opens the backend. */
const lockDelayMs = 30_000
const clockMs = 1_000

/** Where a run of Terraform is remembered while it lasts: when the file is there afterwards, clouder was killed. */
export function runFile(dir: string): string {
  return join(dir, 'run.json')
}

/**
 * What a killed clouder left in a folder. Its Terraform, which goes on by itself, is waited for, so that two never meet;
 * undefined: there is none.
 */
export async function awaitLeftover(
  dir: string,
  identify: Identify,
  {signal, onNote}: {readonly signal: AbortSignal; readonly onNote: (text: string) => void},
): Promise<DeadRun | undefined> {
  const record = await readRecord(dir)
  if (record === undefined) return undefined
  const alive = () => isAlive(record, identify)
  if (await alive()) {
    onNote(`waiting for Terraform of a killed run, which is still running (process ${record.pid})`)
    await waitFor({
      what: `process ${record.pid}, the Terraform of a run that was killed, to end`,
      check: async () => ((await alive()) ? {seen: 'it is still running'} : {value: true, seen: 'gone'}),
      timeoutMs: longestRunMs,
      intervalMs: waitIntervalMs,
      signal,
    })
  }
  const {mtimeMs} = await stat(join(dir, 'run.out'))
  return {...record, lastSeenMs: mtimeMs}
}

/** Whether a Terraform works in a folder, be it that of a run that was killed. */
export async function stillRuns(dir: string, identify: Identify): Promise<boolean> {
  const record = await readRecord(dir)
  return record !== undefined && (await isAlive(record, identify))
}

async function isAlive({pid, identity}: RunRecord, identify: Identify): Promise<boolean> {
  return identity !== '' && (await identify(pid)) === identity
}

async function readRecord(dir: string): Promise<RunRecord | undefined> {
  try {
    return runRecordSchema.parse(JSON.parse(await readFile(runFile(dir), 'utf8')))
  } catch (error) {
    // Half-written: killed in the moment it was made.
    if (error instanceof SyntaxError || error instanceof z.ZodError) return undefined
    if (isMissing(error)) return undefined
    throw error
  }
}

/**
 * Whether a lock is provably that of a run which is dead: taken on this machine, within the time in which that run took
 * its own. Nobody else can have taken one then, since that run held it.
 */
export function isLockOf(lock: StateLock, dead: DeadRun, hostname: string): boolean {
  const created = Date.parse(lock.created)
  const started = Date.parse(dead.startedAt)
  return (
    lock.who.endsWith(`@${hostname}`) &&
    created >= started - clockMs &&
    created <= Math.max(dead.lastSeenMs, started) + lockDelayMs
  )
}
