import {jsonLog, type Log} from '../operator/log.ts'

/** threads.ts with all that it needs, put in by bin/bundle-programs.js: the image holds one file. */
declare const THREADS_SOURCE: string

/**
 * The programs that run in the cluster, by their first argument: `node-agent`, `controller`. Everything is loaded by
 * the one that needs it.
 */
async function main(): Promise<void> {
  const [program] = process.argv.slice(2)
  const ended = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => ended.abort())
  const log = jsonLog((line) => process.stdout.write(line), Date.now, {program: program ?? ''})
  try {
    await run(program, log, ended.signal)
  } catch (error) {
    if (ended.signal.aborted) return
    log('error', 'ended by an error', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    // Servers and watches would keep it alive.
    process.exit(1)
  }
}

async function run(program: string | undefined, log: Log, signal: AbortSignal): Promise<void> {
  switch (program) {
    case 'node-agent': {
      const {agentEnvironmentSchema, runNodeAgent} = await import('./node-agent/main.ts')
      const environment = agentEnvironmentSchema.parse(process.env)
      const script = new URL(`data:text/javascript;base64,${Buffer.from(THREADS_SOURCE).toString('base64')}`)
      await runNodeAgent(environment, {script, now: Date.now, log, signal})
      return
    }
    case 'controller': {
      const {controllerEnvironmentSchema, runControllerProgram} = await import('./controller/main.ts')
      await runControllerProgram(controllerEnvironmentSchema.parse(process.env), {now: Date.now, log, signal})
      return
    }
    default:
      throw new Error(`there is no program ${program ?? ''}; there are node-agent and controller`)
  }
}

await main()
