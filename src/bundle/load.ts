import {existsSync} from 'node:fs'
import {readFile, readdir} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {BundleError} from '../errors.ts'
import {bundleLockSchema} from './types.ts'
import type {Arch, Bundle, BundleLock} from './types.ts'

export const LOCK_FILE = 'bundle.lock.json'

/** The folder where bundles are, below the cache folder. */
export function bundlesDir(cacheDir: string): string {
  return join(cacheDir, 'bundles')
}

/** Where the bundle of a version and architecture is. */
export function bundleDir(cacheDir: string, kubernetes: string, arch: Arch): string {
  return join(bundlesDir(cacheDir), `${kubernetes}-${arch}`)
}

/** Reads the lock of a bundle; its content is not checked. Throws BundleError BUNDLE_MISSING or BUNDLE_INVALID. */
export async function loadBundle(dir: string): Promise<Bundle> {
  const path = join(dir, LOCK_FILE)
  if (!existsSync(path)) {
    throw new BundleError('BUNDLE_MISSING', `no bundle in ${dir}`, {suggestions: ['clouder bundle build']})
  }
  const lock = bundleLockSchema.safeParse(parseJson(await readFile(path, 'utf8'), path))
  if (!lock.success) {
    throw new BundleError('BUNDLE_INVALID', `${path} is not a bundle lock: ${z.prettifyError(lock.error)}`, {
      suggestions: ['clouder bundle build'],
    })
  }
  return {dir, lock: lock.data}
}

/** All bundles below a folder; what is no bundle is passed over. */
export async function listBundles(rootDir: string): Promise<readonly {dir: string; lock: BundleLock}[]> {
  if (!existsSync(rootDir)) return []
  const names = (await readdir(rootDir)).sort()
  const dirs = names.map((name) => join(rootDir, name)).filter((dir) => existsSync(join(dir, LOCK_FILE)))
  return Promise.all(dirs.map((dir) => loadBundle(dir)))
}

function parseJson(text: string, path: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new BundleError('BUNDLE_INVALID', `${path} is not JSON`, {
      cause: error,
      suggestions: ['clouder bundle build'],
    })
  }
}
