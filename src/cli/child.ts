import {spawn} from 'node:child_process'
import {constants} from 'node:os'

export interface ChildResult {
  readonly exitCode: number
  /** Empty unless captured. */
  readonly stdout: string
  readonly stderr: string
}

/**
 * Runs a program in the foreground: its terminal is ours, and its exit code is the answer (128 + number for a signal).
 * Signals of the terminal reach it by themselves; meanwhile we ignore them. `capture` keeps its output instead.
 */
export async function runChild(
  argv: readonly string[],
  options: {environment: NodeJS.ProcessEnv; capture: boolean},
): Promise<ChildResult> {
  const [program = '', ...words] = argv
  const ignore = () => undefined
  for (const name of ['SIGINT', 'SIGQUIT'] as const) process.on(name, ignore)
  try {
    const child = spawn(program, words, {
      env: options.environment,
      stdio: options.capture ? ['inherit', 'pipe', 'pipe'] : 'inherit',
    })
    const forward = () => child.kill('SIGTERM')
    process.on('SIGTERM', forward)
    const output = {stdout: '', stderr: ''}
    for (const name of ['stdout', 'stderr'] as const) {
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        output[name] += text
      })
    }
    const ended = Promise.withResolvers<number>()
    child.on('error', ended.reject)
    child.on('close', (code, signal) =>
      ended.resolve(code ?? (signal === null ? 1 : 128 + constants.signals[signal])),
    )
    const exitCode = await ended.promise.finally(() => process.off('SIGTERM', forward))
    return {exitCode, ...output}
  } finally {
    for (const name of ['SIGINT', 'SIGQUIT'] as const) process.off(name, ignore)
  }
}
