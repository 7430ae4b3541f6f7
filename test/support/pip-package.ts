import {execFile} from 'node:child_process'
import {access, mkdir, mkdtemp, rename, rm} from 'node:fs/promises'
import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import {promisify} from 'node:util'

const run = promisify(execFile)

/** The folder of a Python package in the user's cache; installed once, renamed into place when it is whole. */
export async function installPipPackage(name: string, requirement: string): Promise<string> {
  const cache = process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache')
  const target = join(cache, 'clouder/test', name)
  if (await isThere(target)) return target
  await mkdir(dirname(target), {recursive: true})
  const work = await mkdtemp(`${target}-`)
  try {
    const argv = ['-m', 'pip', 'install', '--quiet', '--target', work, requirement]
    await run('python3', argv, {timeout: 600_000})
    await rename(work, target).catch(async (error: unknown) => {
      // Another test was quicker.
      if (!(await isThere(target))) throw error
    })
  } finally {
    await rm(work, {recursive: true, force: true})
  }
  return target
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
