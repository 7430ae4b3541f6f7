import {execFile, spawn} from 'node:child_process'
import {glob, mkdir, readFile} from 'node:fs/promises'
import {homedir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import type {TestContext} from 'vitest'

const run = promisify(execFile)
const LOADERS: Readonly<Record<string, string>> = {
  x64: 'ld-linux-x86-64.so.2',
  arm64: 'ld-linux-aarch64.so.1',
}
const ARCHES: Readonly<Record<string, string>> = {x64: 'amd64', arm64: 'arm64'}

export interface DumpedTree {
  readonly exitCode: number
  /** dump.log. */
  readonly log: string
  /** Folder of the images. */
  readonly imageDir: string
}

export interface PortableCriu {
  /** Starts a script of bash, and dumps it when it has written `ready` on its output; it does not outlive that. */
  dump(script: string, name: string): Promise<DumpedTree>
}

/** CRIU out of a bundle that was built on this machine; ends the test as skipped, with the reason, where it cannot be had. */
export async function needCriu(context: TestContext, folder: string): Promise<PortableCriu> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const pattern = `clouder/bundles/*-${ARCHES[process.arch] ?? process.arch}/files/criu.tar.gz`
  const found: string[] = []
  for await (const path of glob(pattern, {cwd: cache})) found.push(path)
  const archive = found.sort().at(-1)
  const isRoot = process.getuid?.() === 0
  if (archive === undefined || !isRoot) {
    const text = `needs root, and a bundle of \`clouder bundle build\` in ${join(cache, 'clouder/bundles')}`
    if (process.env['CLOUDER_REQUIRE_E2E'] === '1') throw new Error(text)
    return context.skip(text)
  }
  const dir = join(folder, 'criu')
  await mkdir(dir)
  await run('tar', ['-xzf', join(cache, archive), '-C', dir])
  const lib = join(dir, 'lib')
  const before = ['--argv0', 'criu', '--library-path', lib, join(dir, 'libexec/criu')]
  return {
    dump: async (script, name) => {
      const imageDir = join(folder, name)
      await mkdir(imageDir)
      const pid = await ready(script, folder)
      const argv = [...before, 'dump', '-t', String(pid), '-D', imageDir, '-o', 'dump.log', '-v4']
      try {
        const exitCode = await run(join(lib, LOADERS[process.arch] ?? ''), argv, {timeout: 60_000}).then(
          () => 0,
          (error: unknown) => (error instanceof Error && 'code' in error ? Number(error.code) : -1),
        )
        return {exitCode, log: await readFile(join(imageDir, 'dump.log'), 'utf8'), imageDir}
      } finally {
        endGroup(pid)
      }
    },
  }
}

/** The script's pid, once it says that it is ready; a session of its own, without anything of ours open. */
async function ready(script: string, folder: string): Promise<number> {
  // Detached: it leads a session of its own.
  const waits = 'sleep 1000 >/dev/null & exec 3>&1 >/dev/null; echo ready >&3; exec 3>&-; wait'
  const child = spawn('bash', ['-c', `${script}\n${waits}`], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true,
  })
  let said = ''
  for await (const part of child.stdout) {
    said += String(part)
    if (said.includes('ready')) break
  }
  if (child.pid === undefined || !said.includes('ready')) throw new Error(`the script ended: ${script}`)
  return child.pid
}

function endGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch (error) {
    // CRIU has ended it.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error
  }
}
