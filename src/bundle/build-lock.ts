import {createServer} from 'node:net'
import {realpath} from 'node:fs/promises'
import {waitFor} from '../base/waiting.ts'
import {sha256Of} from './digest.ts'
import type {Arch} from './types.ts'

const LONGEST_BUILD_MS = 2 * 3_600_000
const POLL_MS = 500

/**
 * Makes sure that one process at a time builds for an architecture with a cache folder; waits for the other, whose work can then be used.
 * The lock is an abstract Unix socket: the kernel frees it with the process, so a killed build leaves none behind.
 */
export async function lockCache(
  cacheDir: string,
  arch: Arch,
  signal: AbortSignal,
  onWait: () => void,
): Promise<AsyncDisposable> {
  const path = `\0clouder-bundle-${arch}-${sha256Of(await realpath(cacheDir))}`
  let isFirst = true
  return waitFor({
    what: `another build with the cache ${cacheDir} to finish`,
    check: async () => {
      const value = await listen(path)
      if (value !== undefined) return {value, seen: 'free'}
      if (isFirst) onWait()
      isFirst = false
      return {seen: 'a build that is running'}
    },
    timeoutMs: LONGEST_BUILD_MS,
    intervalMs: POLL_MS,
    signal,
  })
}

async function listen(path: string): Promise<AsyncDisposable | undefined> {
  const server = createServer((socket) => socket.destroy())
  const free = (): Promise<void> => new Promise((resolve) => server.close(() => resolve()))
  const isListening = await new Promise<boolean>((resolve, reject) => {
    server.once('listening', () => resolve(true))
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(false)
      else reject(error)
    })
    server.listen(path)
  })
  return isListening ? {[Symbol.asyncDispose]: free} : undefined
}
