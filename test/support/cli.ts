import {spawn, type ChildProcess} from 'node:child_process'
import {join} from 'node:path'
import {z} from 'zod'

export const packageRoot = join(import.meta.dirname, '../..')

const eventSchema = z.looseObject({
  type: z.string(),
  phase: z.string().optional(),
  step: z.string().optional(),
  host: z.string().optional(),
})
export type CliEvent = z.output<typeof eventSchema>

export interface CliResult {
  readonly exitCode: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** Lines of `--json`, in order. */
  readonly events: readonly CliEvent[]
}

export interface CliOptions {
  /** CLOUDER_HOME. */
  readonly home: string
  readonly environment?: Readonly<Record<string, string>>
  readonly stdin?: string
  /** A program and its arguments that start the CLI: `setpriv …`. */
  readonly through?: readonly string[]
  readonly timeoutMs?: number
  /** The package to run. Default: this checkout. */
  readonly root?: string
  /** Called with each JSON line as it comes; the child can be killed from here. */
  readonly onEvent?: (event: CliEvent, child: ChildProcess) => void
  readonly onStart?: (child: ChildProcess) => void
}

/** Runs `bin/run.js` as a user would, without a TTY. */
export function clouder(args: readonly string[], options: CliOptions): Promise<CliResult> {
  const program = join(options.root ?? packageRoot, 'bin/run.js')
  const argv = [...(options.through ?? []), process.execPath, program, ...args]
  const child = spawn(argv[0] ?? '', argv.slice(1), {
    // vitest's NODE_ENV makes oclif print warnings for developers.
    env: {
      ...process.env,
      NODE_ENV: undefined,
      CLOUDER_HOME: options.home,
      NO_COLOR: '1',
      ...options.environment,
    },
    stdio: [options.stdin === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
    timeout: options.timeoutMs ?? 600_000,
    killSignal: 'SIGKILL',
  })
  options.onStart?.(child)
  child.stdin?.end(options.stdin)
  const events: CliEvent[] = []
  let stdout = ''
  let rest = ''
  let stderr = ''
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
    rest += text
    for (let end = rest.indexOf('\n'); end >= 0; end = rest.indexOf('\n')) {
      const event = parseEvent(rest.slice(0, end))
      rest = rest.slice(end + 1)
      if (event === undefined) continue
      events.push(event)
      options.onEvent?.(event, child)
    }
  })
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  return new Promise((resolve, reject) => {
    child.on('error', reject)
    child.on('close', (exitCode, signal) => resolve({exitCode, signal, stdout, stderr, events}))
  })
}

function parseEvent(line: string): CliEvent | undefined {
  if (!line.startsWith('{')) return undefined
  const parsed = eventSchema.safeParse(JSON.parse(line))
  return parsed.success ? parsed.data : undefined
}

/** The steps a run did, or would do, as `phase host step`. */
export const stepsOf = (result: CliResult, type: 'step-done' | 'step-started'): readonly string[] =>
  result.events
    .filter((event) => event.type === type)
    .map((event) => `${event.phase ?? ''} ${event.host ?? 'cluster'} ${event.step ?? ''}`)
