import {spawn} from 'node:child_process'
import {createInterface} from 'node:readline'
import {findOnPath} from '../base/program-path.ts'
import {BundleError} from './errors.ts'

type Environment = Readonly<Record<string, string | undefined>>

export interface ProcessOptions {
  readonly cwd: string
  readonly environment: Environment
  readonly signal: AbortSignal
  /** Called with each line of standard error as it comes. */
  readonly onLine?: (line: string) => void
}

const KEPT_LINES = 15

/**
 * Runs a program to its end and gives its standard output. On abort the whole process group is ended.
 * Throws BundleError BUILD_FAILED with the last lines of standard error.
 */
export async function runProcess(
  argv: readonly [string, ...string[]],
  options: ProcessOptions,
): Promise<string> {
  options.signal.throwIfAborted()
  const [program, ...args] = argv
  // Its own process group: compilers start children that must end with it.
  const child = spawn(program, args, {
    cwd: options.cwd,
    env: {...options.environment},
    detached: true,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const endGroup = (): void => {
    if (child.pid !== undefined) process.kill(-child.pid, 'SIGKILL')
  }
  options.signal.addEventListener('abort', endGroup, {once: true})
  const lastLines: string[] = []
  createInterface({input: child.stderr}).on('line', (line) => {
    lastLines.push(line)
    if (lastLines.length > KEPT_LINES) lastLines.shift()
    options.onLine?.(line)
  })
  const output: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => output.push(chunk))
  try {
    const code = await new Promise<number | null>((resolve, reject) => {
      child.once('error', reject)
      child.once('close', resolve)
    })
    options.signal.throwIfAborted()
    if (code !== 0) throw failed(argv, code === null ? 'was killed' : `exited with code ${code}`, lastLines)
  } catch (error) {
    options.signal.throwIfAborted()
    if (error instanceof BundleError) throw error
    throw failed(argv, 'could not be started', lastLines, error)
  } finally {
    options.signal.removeEventListener('abort', endGroup)
  }
  return Buffer.concat(output).toString('utf8')
}

function failed(
  argv: readonly string[],
  how: string,
  lines: readonly string[],
  cause?: unknown,
): BundleError {
  const command = argv.slice(0, 3).join(' ')
  const said = lines.length === 0 ? '' : `: ${lines.join('\n')}`
  return new BundleError('BUILD_FAILED', `${command} ${how}${said}`, {cause})
}

/** Throws BundleError BUILD_FAILED that names a program not on PATH and how to get it. */
export async function requireProgram(program: string, fix: string, environment: Environment): Promise<void> {
  if (await isOnPath(program, environment)) return
  throw new BundleError('BUILD_FAILED', `${program} is needed to build the bundle and is not on PATH`, {
    suggestions: [fix],
  })
}

export const isOnPath = async (program: string, environment: Environment): Promise<boolean> =>
  (await findOnPath(program, environment['PATH'])) !== undefined
