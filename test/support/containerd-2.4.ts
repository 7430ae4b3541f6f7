import {existsSync} from 'node:fs'
import {mkdir, mkdtemp, readFile, rm} from 'node:fs/promises'
import {homedir} from 'node:os'
import {join} from 'node:path'
import {gzipSync} from 'node:zlib'
import {moveFolder, sha256Of} from '../../src/bundle/digest.ts'
import {runProcess} from '../../src/bundle/process.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import {cacheDir} from '../../src/store/cache-dir.ts'
import type {E2eCluster} from './e2e-cluster.ts'

const MODULE = join(import.meta.dirname, 'containerd-2.4')
const PACKAGE = 'github.com/containerd/containerd/v2'
export const CONTAINERD_2_4 = '2.4.2'
const PROGRAMS = ['containerd', 'containerd-shim-runc-v2', 'ctr'] as const

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
  const programs = PROGRAMS.map((name) => `${PACKAGE}/cmd/${name}`)
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

/** Has a machine of a cluster run on containerd 2.4 until the next init. Gives what the new one says of itself. */
export async function useContainerd24(
  cluster: E2eCluster,
  machine: string,
  signal: AbortSignal,
): Promise<string> {
  const dir = await containerd24(signal)
  await cluster.read(machine, 'mkdir -p /opt/containerd-2.4')
  for (const name of PROGRAMS) {
    const path = `/opt/containerd-2.4/${name}`
    // The engine takes text.
    const content = gzipSync(await readFile(join(dir, name)), {level: 1}).toString('base64')
    await cluster.engine.putFile(containerName(cluster.name, machine), {
      path: `${path}.gz.b64`,
      content,
      mode: 0o600,
    })
    await cluster.read(
      machine,
      `base64 -d ${path}.gz.b64 | gunzip > ${path} && chmod 755 ${path} && rm ${path}.gz.b64
      ln -sfn ${path} /usr/local/bin/${name}`,
    )
  }
  return cluster.read(machine, 'systemctl restart containerd && containerd --version')
}
