import {createReadStream} from 'node:fs'
import {access, constants, mkdir, rename, rm} from 'node:fs/promises'
import {createWriteStream} from 'node:fs'
import {delimiter, dirname, join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {createGunzip} from 'node:zlib'
import {BundleError} from '../errors.ts'
import type {Tools} from '../workflows/types.ts'

export interface KubectlOptions {
  /** Version of the cluster, for the bundle's kubectl. */
  readonly kubernetes: string
  /** The PATH to look in first. */
  readonly path: string
  /** Where the bundle's kubectl is unpacked to. */
  readonly cacheDir: string
  readonly pid: number
}

const architectures: Readonly<Partial<Record<string, string>>> = {x64: 'amd64', arm64: 'arm64'}

/** The kubectl of the PATH, else the bundle's for this machine, unpacked once. Throws BundleError. */
export async function kubectlProgram(
  options: KubectlOptions,
  tools: Pick<Tools, 'bundleFor' | 'signal'>,
): Promise<string> {
  for (const dir of options.path.split(delimiter).filter((entry) => entry !== '')) {
    const candidate = join(dir, 'kubectl')
    if (await isExecutable(candidate)) return candidate
  }
  const arch = architectures[process.arch] ?? process.arch
  const unpacked = join(options.cacheDir, 'bin', `kubectl-${options.kubernetes}-${arch}`)
  if (await isExecutable(unpacked)) return unpacked
  const bundle = await tools.bundleFor(options.kubernetes, arch, tools.signal)
  const item = bundle.lock.files.find(({name}) => name === 'kubectl')
  if (item === undefined)
    throw new BundleError('BUNDLE_INVALID', `the bundle in ${bundle.dir} has no kubectl`)
  await unpack(join(bundle.dir, item.path), unpacked, options.pid)
  return unpacked
}

async function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

async function unpack(from: string, to: string, pid: number): Promise<void> {
  await mkdir(dirname(to), {recursive: true})
  const partial = `${to}.${pid}`
  try {
    await pipeline(createReadStream(from), createGunzip(), createWriteStream(partial, {mode: 0o755}))
    await rename(partial, to)
  } finally {
    await rm(partial, {force: true})
  }
}
