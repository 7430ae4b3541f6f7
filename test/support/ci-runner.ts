import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {chmod, mkdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {packageRoot} from './cli.ts'
import type {CiStep} from './ci-jobs.ts'

export interface CiEnd {
  readonly exitCode: number | null
  readonly stdout: string
  readonly stderr: string
}

/** One job's machine: an empty home, a checkout, and programs that a pipeline expects. */
export interface CiRunner {
  /** The checkout. */
  readonly work: string
  readonly home: string
  /** Command lines of the programs that only wrote down how they were called. */
  calls(): Promise<readonly string[]>
  run(step: CiStep, variables: Readonly<Record<string, string | undefined>>): Promise<CiEnd>
}

/** What a job may call that is not tried here; it writes its arguments down. */
const RECORDED = ['npm', 'gh'] as const

/** Machines of the emulator have nothing behind them here, so that `clouder kubeadm` is written down too. */
export async function ciRunner(dir: string): Promise<CiRunner> {
  const [work, home, bin, log] = [join(dir, 'work'), join(dir, 'home'), join(dir, 'bin'), join(dir, 'calls')]
  for (const folder of [work, home, bin]) await mkdir(folder, {recursive: true})
  await writeFile(log, '')
  const program = async (name: string, text: string): Promise<void> => {
    await writeFile(join(bin, name), `#!/bin/sh\n${text}\n`)
    await chmod(join(bin, name), 0o755)
  }
  const record = (name: string): string => `echo "${name} $*" >> ${log}`
  for (const name of RECORDED) await program(name, record(name))
  await program(
    'clouder',
    `[ "$1" != kubeadm ] || { ${record('clouder')}; exit 0; }
exec ${process.execPath} ${join(packageRoot, 'bin/run.js')} "$@"`,
  )
  return {
    work,
    home,
    calls: async () => (await readFile(log, 'utf8')).split('\n').filter((line) => line !== ''),
    run: async ({script, environment}, variables) => {
      // As GitHub starts it; GitLab's own shell does the same to its script.
      const child = spawn('bash', ['--noprofile', '--norc', '-eo', 'pipefail', '-c', script], {
        cwd: work,
        env: {
          ...process.env,
          NODE_ENV: undefined,
          HOME: home,
          NO_COLOR: '1',
          ...environment,
          ...variables,
          PATH: `${bin}:${process.env['PATH'] ?? ''}`,
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      })
      let [stdout, stderr] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
      await once(child, 'close')
      return {exitCode: child.exitCode, stdout, stderr}
    },
  }
}

/** Fills in `${{ vars.NAME }}` and the like; throws for one that nobody gave. */
export function resolved(
  environment: Readonly<Record<string, string>>,
  values: Readonly<Record<string, string>>,
): Readonly<Record<string, string>> {
  return Object.fromEntries(
    Object.entries(environment).map(([name, text]) => [
      name,
      text.replace(/\$\{\{ (\S+) \}\}|^\$([A-Z_]+)$/g, (_, expression?: string, variable?: string) => {
        const value = values[expression ?? variable ?? '']
        if (value === undefined) throw new Error(`${name}: nobody gave ${text}`)
        return value
      }),
    ]),
  )
}
