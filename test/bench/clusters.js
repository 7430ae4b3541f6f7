// Runs the command line as a user does, against nodes of the local provider that are made for one measurement.
import {spawn} from 'node:child_process'
import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

export const packageRoot = join(import.meta.dirname, '../..')

/** Runs a program; gives its output and how long it took. Throws when it fails. */
export function run(command, args, environment = {}) {
  return new Promise((resolve, reject) => {
    const startedMs = performance.now()
    const child = spawn(command, args, {
      env: {...process.env, ...environment},
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text) => (stdout += text))
    child.stderr.setEncoding('utf8').on('data', (text) => (stderr += text))
    child.on('error', reject)
    child.on('close', (code) => {
      const seconds = (performance.now() - startedMs) / 1000
      if (code === 0) resolve({seconds, stdout})
      else
        reject(
          new Error(`${command} ${args.join(' ')} exited with code ${code}\n${stdout.slice(-3000)}${stderr}`),
        )
    })
  })
}

/** Gives a cluster whose machines exist and hold nothing yet, and removes it after. */
export async function withMachines({name, workers}, use) {
  const home = await mkdtemp(join(tmpdir(), 'clouder-bench-'))
  const clouder = (...args) =>
    run(process.execPath, [join(packageRoot, 'bin/run.js'), ...args], {CLOUDER_HOME: home, NO_COLOR: '1'})
  const spec = ['--provider', 'local', '--workers', String(workers), '--json']
  try {
    await clouder('kubeadm', 'create', name, ...spec)
    return await use({home, name, clouder, spec})
  } finally {
    await clouder('kubeadm', 'terminate', name, '--yes')
    await rm(home, {recursive: true, force: true})
  }
}

/** What each phase took, from the lines of `--json`. */
export function phaseSeconds(stdout) {
  return Object.fromEntries(
    stdout
      .split('\n')
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line))
      .flatMap((event) => {
        if (event.type === 'phase-done') return [[event.phase, event.durationMs / 1000]]
        return event.type === 'task-done' ? [[event.task, event.durationMs / 1000]] : []
      }),
  )
}

/** The middle value; of an even number, the mean of the two. */
export function median(values) {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length / 2
  return sorted.length % 2 === 1 ? sorted[Math.floor(middle)] : (sorted[middle - 1] + sorted[middle]) / 2
}
