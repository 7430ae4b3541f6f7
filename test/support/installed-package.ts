import {execFile} from 'node:child_process'
import {lstat, mkdtemp, readdir, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {z} from 'zod'
import {packageRoot} from './cli.ts'

const run = promisify(execFile)
const BLOCK_BYTES = 512
const NO_REGISTRY = /E(NOTFOUND|TIMEDOUT|CONNREFUSED|NOTCACHED|AI_AGAIN)/

const packedSchema = z.tuple([
  z.looseObject({
    filename: z.string(),
    size: z.number(),
    files: z.array(z.looseObject({path: z.string()})),
  }),
])

/** The package as it is published, installed into a folder of its own with what it depends on. */
export interface InstalledPackage extends AsyncDisposable {
  /** Of the tarball. */
  readonly sizeBytes: number
  readonly files: readonly string[]
  /** Of everything that was installed, as the disk has it. */
  readonly installedBytes: number
  readonly root: string
  /** The command. */
  readonly bin: string
}

/** Packs what was built and installs it. Undefined: npm reaches no registry and has not all packages in its cache. */
export async function installPackage(): Promise<InstalledPackage | undefined> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-package-'))
  const remove = () => rm(dir, {recursive: true, force: true})
  try {
    const argv = ['pack', '--json', '--ignore-scripts', '--pack-destination', dir]
    const {stdout} = await run('npm', argv, {cwd: packageRoot, maxBuffer: 64 * 2 ** 20})
    const [{filename, size, files}] = packedSchema.parse(JSON.parse(stdout))
    const prefix = join(dir, 'prefix')
    const quiet = ['--prefer-offline', '--ignore-scripts', '--no-audit', '--no-fund']
    const install = ['install', '--global', '--omit=dev', '--prefix', prefix, ...quiet, join(dir, filename)]
    await run('npm', install, {cwd: dir, timeout: 240_000})
    return {
      sizeBytes: size,
      files: files.map(({path}) => path),
      installedBytes: await bytesOf(prefix),
      root: join(prefix, 'lib/node_modules/clouder'),
      bin: join(prefix, 'bin/clouder'),
      [Symbol.asyncDispose]: remove,
    }
  } catch (error) {
    await remove()
    if (error instanceof Error && NO_REGISTRY.test(error.message)) return undefined
    throw error
  }
}

async function bytesOf(folder: string): Promise<number> {
  let bytes = 0
  for (const entry of await readdir(folder, {recursive: true}))
    bytes += (await lstat(join(folder, entry))).blocks * BLOCK_BYTES
  return bytes
}
