import {once} from 'node:events'
import type {ChildProcess} from 'node:child_process'
import {createInterface} from 'node:readline'

const START_TIMEOUT_MS = 60_000

/** What a program says of where it listens, taken from its lines by a pattern with one group. Its output is read away. */
export function saidBy(child: ChildProcess, what: string, pattern: RegExp): Promise<string> {
  const said: string[] = []
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      child.kill('SIGKILL')
    }, START_TIMEOUT_MS)
    for (const stream of [child.stdout, child.stderr]) {
      if (stream === null) continue
      createInterface({input: stream}).on('line', (line) => {
        const [, found] = pattern.exec(line) ?? []
        if (found === undefined) {
          if (said.push(line) > 5) said.shift()
          return
        }
        clearTimeout(timer)
        resolve(found)
      })
    }
    child.once('error', reject)
    child.once('exit', (code, signal) => {
      clearTimeout(timer)
      reject(new Error(`${what} ended with ${code ?? signal ?? ''}: ${said.join('\n')}`))
    })
  })
}

export async function ended(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill('SIGKILL')
  await gone
}
