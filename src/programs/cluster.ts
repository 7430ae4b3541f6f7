import {isMainThread} from 'node:worker_threads'
import {jsonLog} from '../node-agent/log.ts'

/**
 * The programs that run in the cluster, by their first argument: `node-agent`, `controller`. Everything is loaded by
 * the one that needs it; a thread of the node agent starts from this file too.
 */
async function main(): Promise<void> {
  if (!isMainThread) {
    const {runFreezeWorker} = await import('../node-agent/freeze-worker.ts')
    runFreezeWorker()
    return
  }
  const [program] = process.argv.slice(2)
  const ended = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT'] as const) process.once(name, () => ended.abort())
  const log = jsonLog((line) => process.stdout.write(line), Date.now, {program: program ?? ''})
  try {
    await run(program, ended.signal)
  } catch (error) {
    if (ended.signal.aborted) return
    log('error', 'ended by an error', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    process.exitCode = 1
  }
}

function run(program: string | undefined, _signal: AbortSignal): Promise<void> {
  throw new Error(`there is no program ${program ?? ''}; there are node-agent and controller`)
}

await main()
