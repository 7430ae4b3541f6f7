// Runs the command line as a user does, against nodes of the local provider that are made for one measurement.
import {spawn} from 'node:child_process'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {z} from 'zod'

export const packageRoot = join(import.meta.dirname, '../..')

const REMOVAL_TIMEOUT_MS = 10 * 60_000

/** What every measurement is given beside its size. */
export interface Bench {
  readonly signal: AbortSignal
  /** Takes a line about how far it is. */
  readonly tell: (line: string) => void
}

export interface Ended {
  readonly seconds: number
  readonly stdout: string
}

export interface RunOptions {
  readonly signal: AbortSignal
  readonly environment?: Readonly<Record<string, string>>
  readonly input?: string
  readonly cwd?: string
}

/** Runs a program; gives its output and how long it took. Throws when it fails, and the signal's reason once it has ended. */
export function run(argv: readonly [string, ...string[]], options: RunOptions): Promise<Ended> {
  const [command, ...args] = argv
  const {signal, environment = {}, input = '', cwd = process.cwd()} = options
  return new Promise((resolve, reject) => {
    signal.throwIfAborted()
    const startedMs = performance.now()
    const child = spawn(command, args, {cwd, env: {...process.env, ...environment}, signal})
    let stdout = ''
    let stderr = ''
    let failure: Error | undefined
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
    // A program that reads nothing may be gone before it was given everything; its exit code tells.
    child.stdin.on('error', () => undefined).end(input)
    child.on('error', (error) => (failure = error))
    // Not before it has ended: what it holds, a lock say, is in the way of the removal.
    child.on('close', (code) => {
      const seconds = (performance.now() - startedMs) / 1000
      if (code === 0) resolve({seconds, stdout})
      else if (signal.aborted) reject(signal.reason as Error)
      else
        reject(
          failure ??
            new Error(
              `${argv.join(' ')} exited with code ${code ?? 'none'}\n${stdout.slice(-3000)}${stderr}`,
            ),
        )
    })
  })
}

/** The command line with a home of its own. */
export type Clouder = (...args: readonly string[]) => Promise<Ended>

/** Runs `bin/run.js` as a user would. */
export const clouderIn =
  (home: string, signal: AbortSignal): Clouder =>
  (...args) =>
    run([process.execPath, join(packageRoot, 'bin/run.js'), ...args], {
      signal,
      environment: {CLOUDER_HOME: home, NO_COLOR: '1'},
    })

/** Gives a home, and removes it and the cluster of that name after, whatever has ended `use`. */
export async function withHome<T>(name: string, use: (home: string) => Promise<T>): Promise<T> {
  const home = await mkdtemp(join(tmpdir(), 'clouder-bench-'))
  try {
    return await use(home)
  } finally {
    await clouderIn(home, AbortSignal.timeout(REMOVAL_TIMEOUT_MS))('kubeadm', 'terminate', name, '--yes')
    await rm(home, {recursive: true, force: true})
  }
}

export interface MadeMachines {
  readonly home: string
  readonly name: string
  readonly clouder: Clouder
  /** The flags that they were made with. */
  readonly spec: readonly string[]
}

/** Gives a cluster whose machines exist and hold nothing yet, and removes it after. */
export function withMachines<T>(
  options: {readonly name: string; readonly workers: number; readonly signal: AbortSignal},
  use: (machines: MadeMachines) => Promise<T>,
): Promise<T> {
  const {name, workers, signal} = options
  return withHome(name, async (home) => {
    const clouder = clouderIn(home, signal)
    const spec = [
      ...['--provider', 'local', '--workers', String(workers)],
      // What the way by hand installs.
      ...['--addons', 'minimal', '--json'],
    ]
    await clouder('kubeadm', 'create', name, ...spec)
    return use({home, name, clouder, spec})
  })
}

const endedSchema = z.union([
  z.looseObject({type: z.literal('phase-done'), phase: z.string(), durationMs: z.number()}),
  z.looseObject({type: z.literal('task-done'), task: z.string(), durationMs: z.number()}),
])

/** What each phase took, from the lines of `--json`. */
export function phaseSeconds(stdout: string): Readonly<Record<string, number>> {
  const ended = stdout
    .split('\n')
    .filter((line) => line.startsWith('{'))
    .flatMap((line) => endedSchema.safeParse(JSON.parse(line)).data ?? [])
  return Object.fromEntries(
    ended.map((event) => [event.type === 'phase-done' ? event.phase : event.task, event.durationMs / 1000]),
  )
}

/** The middle value; of an even number, the mean of the two. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  const at = Math.floor(sorted.length / 2)
  const upper = sorted[at]
  const lower = sorted.length % 2 === 1 ? upper : sorted[at - 1]
  if (upper === undefined || lower === undefined) throw new RangeError('there is no median of nothing')
  return (lower + upper) / 2
}
