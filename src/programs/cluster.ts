import {jsonLog} from '../operator/log.ts'
import {PROGRAMS} from './programs.ts'

/** threads.ts with all that it needs, put in by bin/bundle-programs.js: the image holds one file. */
declare const THREADS_SOURCE: string

/** Runs the program that the first argument names, until the process is asked to end. */
async function main(): Promise<void> {
  const [name = ''] = process.argv.slice(2)
  const ended = new AbortController()
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => ended.abort())
  const log = jsonLog((line) => process.stdout.write(line), Date.now, {program: name})
  try {
    const load = PROGRAMS.get(name)
    if (load === undefined)
      throw new Error(`unknown program "${name}"; expected one of ${[...PROGRAMS.keys()].join(', ')}`)
    const {run} = await load()
    const threads = new URL(`data:text/javascript;base64,${Buffer.from(THREADS_SOURCE).toString('base64')}`)
    await run({environment: process.env, threads, now: Date.now, log, signal: ended.signal})
  } catch (error) {
    if (ended.signal.aborted) return
    log('error', 'exited with an error', {
      error: error instanceof Error ? (error.stack ?? error.message) : String(error),
    })
    // Servers and watches would keep it alive.
    process.exit(1)
  }
}

await main()
