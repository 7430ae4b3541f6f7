import {access, mkdir, rename, rm} from 'node:fs/promises'
import {createWriteStream} from 'node:fs'
import {homedir} from 'node:os'
import {dirname, join} from 'node:path'
import type {Readable} from 'node:stream'
import {pipeline} from 'node:stream/promises'
import {createGunzip} from 'node:zlib'
import {findOnPath, isExecutableFile} from '../base/program-path.ts'
import {BundleError} from '../bundle/errors.ts'
import {fetchKubeconfig} from '../workflows/cluster/kubeconfig.ts'
import {specOf} from '../workflows/session/clusters.ts'
import type {SessionTools, Tools} from '../workflows/session/types.ts'
import {cacheDir} from '../store/cache-dir.ts'
import {runChild, type ChildResult} from './child.ts'

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
  const installed = await findOnPath('kubectl', options.path)
  if (installed !== undefined) return installed
  const arch = architectures[process.arch] ?? process.arch
  const unpacked = join(options.cacheDir, 'bin', `kubectl-${options.kubernetes}-${arch}`)
  if (await isExecutableFile(unpacked)) return unpacked
  const bundle = await tools.bundleFor(options.kubernetes, arch, tools.signal)
  const item = bundle.lock.files.find(({name}) => name === 'kubectl')
  if (item === undefined)
    throw new BundleError('BUNDLE_INVALID', `the bundle in ${bundle.dir} has no kubectl`)
  await unpack(bundle.content(item.path), unpacked, options.pid)
  return unpacked
}

/** Runs kubectl in the foreground with a cluster's own kubeconfig. */
export async function runKubectl(
  cluster: string,
  argv: readonly string[],
  {environment, capture}: {environment: NodeJS.ProcessEnv; capture: boolean},
  tools: SessionTools & Pick<Tools, 'userKubeconfigs'>,
): Promise<ChildResult> {
  const spec = await specOf(cluster, tools)
  const known = tools.store.paths(cluster).kubeconfig
  const path = (await isThere(known)) ? known : (await fetchKubeconfig(cluster, undefined, tools)).path
  const where = {
    path: environment['PATH'] ?? '',
    cacheDir: cacheDir(environment, homedir()),
    pid: process.pid,
  }
  const program = await kubectlProgram({kubernetes: spec.kubernetes.version, ...where}, tools)
  return runChild([program, ...argv], {environment: {...environment, KUBECONFIG: path}, capture})
}

const isThere = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

async function unpack(from: Readable, to: string, pid: number): Promise<void> {
  await mkdir(dirname(to), {recursive: true})
  const partial = `${to}.${pid}`
  try {
    await pipeline(from, createGunzip(), createWriteStream(partial, {mode: 0o755}))
    await rename(partial, to)
  } finally {
    await rm(partial, {force: true})
  }
}
