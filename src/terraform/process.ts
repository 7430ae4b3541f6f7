import {spawn, type ChildProcess} from 'node:child_process'
import {closeSync, openSync, readSync} from 'node:fs'
import {readFile, rm} from 'node:fs/promises'
import {constants} from 'node:os'
import {join} from 'node:path'
import {StringDecoder} from 'node:string_decoder'
import {writeDurably} from '../base/durable-files.ts'
import {TerraformError} from './errors.ts'
import {runFile, type RunRecord} from './leftover.ts'

export interface TerraformCall {
  readonly program: string
  readonly args: readonly string[]
  readonly dir: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
}

export interface TerraformEnd {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

const tailIntervalMs = 100

/** Runs what only reads, its output in memory. Throws the signal's reason. */
export async function runReading(call: TerraformCall): Promise<TerraformEnd> {
  call.signal.throwIfAborted()
  const child = start(call, ['ignore', 'pipe', 'pipe'])
  const output = {stdout: '', stderr: ''}
  for (const name of ['stdout', 'stderr'] as const)
    child[name]?.setEncoding('utf8').on('data', (text: string) => (output[name] += text))
  const exitCode = await endOf(child, call)
  call.signal.throwIfAborted()
  return {exitCode, ...output}
}

/**
 * Runs what changes something. Its output goes to files, so that it ends well even when this process is killed: to a
 * pipe that nobody reads it would die of its next line, and what it just made would be in no state.
 * Lines of stdout are told as they come. Throws the signal's reason after it ended.
 */
export async function runChanging(
  call: TerraformCall,
  identify: (pid: number) => Promise<string | undefined>,
  onLine: (line: string) => void,
): Promise<TerraformEnd> {
  call.signal.throwIfAborted()
  const [outPath, errPath] = [join(call.dir, 'run.out'), join(call.dir, 'run.err')]
  const [out, err] = [openSync(outPath, 'w', 0o600), openSync(errPath, 'w', 0o600)]
  const reader = openSync(outPath, 'r')
  try {
    const child = start(call, ['ignore', out, err])
    const ending = endOf(child, call)
    // A child that could not be started is told by `ending`; nobody awaits it before the record is written.
    ending.catch(() => undefined)
    if (child.pid !== undefined) {
      const identity = (await identify(child.pid)) ?? ''
      const record: RunRecord = {pid: child.pid, identity, startedAt: new Date().toISOString()}
      await writeDurably(runFile(call.dir), JSON.stringify(record))
    }
    const drain = tail(reader, onLine)
    const timer = setInterval(drain, tailIntervalMs)
    const exitCode = await ending.finally(() => clearInterval(timer))
    drain()
    // Killed, it gave no lock back: its record tells the next run that the lock is nobody's.
    if (exitCode < 128) await rm(runFile(call.dir), {force: true})
    call.signal.throwIfAborted()
    const [stdout, stderr] = await Promise.all([readFile(outPath, 'utf8'), readFile(errPath, 'utf8')])
    return {exitCode, stdout, stderr}
  } finally {
    for (const file of [out, err, reader]) closeSync(file)
  }
}

function start(call: TerraformCall, stdio: ['ignore', 'pipe' | number, 'pipe' | number]): ChildProcess {
  return spawn(call.program, call.args, {
    cwd: call.dir,
    env: environmentOf(call.environment),
    stdio,
    // Ctrl-C of the terminal must not reach it beside our own SIGINT: at the second it ends without saving the state.
    detached: true,
  })
}

/**
 * A provider of a cloud makes hundreds of megabytes of schemas whenever it starts, most of what Terraform's own seconds
 * are: a quarter of that is Go's collector. https://go.dev/doc/gc-guide
 */
const COLLECT_LESS = {GOGC: '400'}

/** The user's own environment, less what would change what a run means or where its state is. */
function environmentOf(environment: TerraformCall['environment']): NodeJS.ProcessEnv {
  const kept = Object.entries(environment).filter(
    ([name]) => !/^TF_(CLI_ARGS.*|WORKSPACE|DATA_DIR|INPUT)$/.test(name),
  )
  return {
    ...COLLECT_LESS,
    ...Object.fromEntries(kept),
    TF_IN_AUTOMATION: '1',
    TF_INPUT: '0',
    CHECKPOINT_DISABLE: '1',
  }
}

/** Its exit code. An abort interrupts it once, and it is waited for: only then is its state saved. */
async function endOf(child: ChildProcess, {program, signal}: TerraformCall): Promise<number> {
  const ended = Promise.withResolvers<number>()
  child.on('error', (cause) =>
    ended.reject(
      new TerraformError('TERRAFORM_FAILED', `${program} cannot be started: ${cause.message}`, {
        cause,
        suggestions: [`check that it runs: ${program} version`],
      }),
    ),
  )
  child.on('close', (code, name) =>
    ended.resolve(code ?? (name === null ? 1 : 128 + constants.signals[name])),
  )
  const onAbort = (): void => void child.kill('SIGINT')
  signal.addEventListener('abort', onAbort, {once: true})
  try {
    return await ended.promise
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}

/** Gives a function that tells the whole lines that came since it was called last. */
function tail(file: number, onLine: (line: string) => void): () => void {
  const decoder = new StringDecoder('utf8')
  const buffer = Buffer.alloc(65_536)
  let rest = ''
  return () => {
    for (let length = readSync(file, buffer); length > 0; length = readSync(file, buffer)) {
      const lines = (rest + decoder.write(buffer.subarray(0, length))).split('\n')
      rest = lines.pop() ?? ''
      for (const line of lines) onLine(line)
    }
  }
}
