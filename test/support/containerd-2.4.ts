import {existsSync} from 'node:fs'
import {mkdir, mkdtemp, readFile, rm} from 'node:fs/promises'
import {homedir} from 'node:os'
import {join} from 'node:path'
import {moveFolder, sha256Of} from '../../src/bundle/digest.ts'
import {runProcess} from '../../src/bundle/process.ts'
import {cacheDir} from '../../src/wiring.ts'

const MODULE = join(import.meta.dirname, 'containerd-2.4')
const PACKAGE = 'github.com/containerd/containerd/v2'
export const CONTAINERD_2_4 = '2.4.2'

/**
 * A folder with containerd, containerd-shim-runc-v2 and ctr of the release that has no restore of its own; static, for
 * this machine's architecture. Built once (two minutes) and kept in the cache. Throws BundleError BUILD_FAILED.
 */
export async function containerd24(signal: AbortSignal): Promise<string> {
  const pins = await Promise.all(['go.mod', 'go.sum'].map((name) => readFile(join(MODULE, name), 'utf8')))
  const cache = join(cacheDir(process.env, homedir()), 'test')
  const dir = join(cache, `containerd-${CONTAINERD_2_4}-${sha256Of(pins.join('')).slice(0, 12)}`)
  if (existsSync(dir)) return dir
  await mkdir(cache, {recursive: true})
  const partial = await mkdtemp(`${dir}.partial-`)
  const flags = ['-mod=readonly', '-buildvcs=false', '-trimpath', '-ldflags']
  const linker = `-s -w -X ${PACKAGE}/version.Version=v${CONTAINERD_2_4}`
  const programs = ['containerd', 'containerd-shim-runc-v2', 'ctr'].map((name) => `${PACKAGE}/cmd/${name}`)
  try {
    await runProcess(['go', 'build', ...flags, linker, '-o', `${partial}/`, ...programs], {
      cwd: MODULE,
      environment: {...process.env, CGO_ENABLED: '0', GOFLAGS: '', GOWORK: 'off'},
      signal,
    })
    await moveFolder(partial, dir)
  } finally {
    await rm(partial, {recursive: true, force: true})
  }
  return dir
}
