import {spawn} from 'node:child_process'
import {createWriteStream} from 'node:fs'
import {mkdir, mkdtemp, readdir, rename, rm, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {createInterface} from 'node:readline'
import {pipeline} from 'node:stream/promises'
import {createZstdCompress} from 'node:zlib'
import {isMissing} from '../../base/system-errors.ts'
import {isAlive} from '../../base/process-identity.ts'
import {fetchOptions, readAptSources} from '../../base/apt-sources.ts'
import {InfrastructureError} from '../errors.ts'
import {debianMirrorOf, type DebianMirror} from './debian-mirror.ts'
import {NODE_INIT, type NodeImageRecipe} from './node-image-recipe.ts'

export interface MakeRootfsOptions {
  readonly recipe: NodeImageRecipe
  /** Where the compressed tar goes; appears whole or not at all. */
  readonly file: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  readonly onLine: (line: string) => void
}

const WORK_PREFIX = 'work-'

const withApt = 'use a Debian machine, or one that can reach a container registry'

/** Makes a root file system with mmdebstrap from this machine's own Debian mirror. Throws NODE_IMAGE_FAILED. */
export async function makeRootfs(options: MakeRootfsOptions): Promise<void> {
  const mirror = debianMirrorOf(await readAptSources())
  if (mirror === undefined) {
    throw new InfrastructureError(
      'NODE_IMAGE_FAILED',
      'apt on this machine has no Debian source to create node images from',
      {
        suggestions: [withApt],
      },
    )
  }
  const folder = dirname(options.file)
  await mkdir(folder, {recursive: true})
  await removeDeadWork(folder)
  const work = await mkdtemp(join(folder, `${WORK_PREFIX}${process.pid}-`))
  try {
    const compressed = join(work, 'rootfs.tar.zst')
    await runMmdebstrap(await mmdebstrapArguments(options, mirror, work), compressed, options)
    await rename(compressed, options.file)
  } finally {
    await rm(work, {recursive: true, force: true})
  }
}

/** Removes the work folders of processes that are gone: a killed run removes nothing. */
async function removeDeadWork(folder: string): Promise<void> {
  for (const name of await readdir(folder)) {
    const pid = Number(new RegExp(`^${WORK_PREFIX}(\\d+)-`).exec(name)?.[1] ?? Number.NaN)
    if (!Number.isNaN(pid) && !isAlive(pid)) await rm(join(folder, name), {recursive: true, force: true})
  }
}

async function mmdebstrapArguments(
  {recipe, environment, signal}: MakeRootfsOptions,
  mirror: DebianMirror,
  work: string,
): Promise<readonly string[]> {
  const files = {
    customise: join(work, 'customise.sh'),
    init: join(work, 'node-init'),
    apt: join(work, 'apt.conf'),
  }
  await writeFile(files.customise, recipe.customise.content)
  await writeFile(files.init, recipe.nodeInit.content)
  // A proxy's address can hold a password, so it travels in a file that only its owner reads.
  const dump = await outputOf('apt-config', ['dump'], environment, signal)
  await writeFile(files.apt, fetchOptions(dump).join('\n'), {mode: 0o600})
  const suites = [
    `deb ${mirror.main} ${recipe.suite} main`,
    ...(mirror.security === undefined ? [] : [`deb ${mirror.security} ${recipe.suite}-security main`]),
  ]
  return [
    '--variant=apt',
    `--include=${recipe.packages.join(',')}`,
    `--aptopt=${files.apt}`,
    '--aptopt=Apt::Install-Recommends "false"',
    ...(mirror.signedBy === undefined ? [] : [`--keyring=${mirror.signedBy}`]),
    '--dpkgopt=path-exclude=/usr/share/doc/*',
    '--dpkgopt=path-exclude=/usr/share/man/*',
    '--dpkgopt=path-exclude=/usr/share/locale/*',
    `--customize-hook=upload '${files.customise}' /customise.sh`,
    `--customize-hook=upload '${files.init}' ${NODE_INIT}`,
    `--customize-hook=chmod 755 "$1${NODE_INIT}" && chroot "$1" bash /customise.sh && rm "$1/customise.sh" && rm -f "$1/etc/apt/apt.conf.d/99mmdebstrap"`,
    recipe.suite,
    '-',
    ...suites,
  ]
}

async function runMmdebstrap(
  argv: readonly string[],
  compressed: string,
  {environment, signal, onLine}: MakeRootfsOptions,
): Promise<void> {
  const child = spawn('mmdebstrap', argv, {env: {...environment}, stdio: ['ignore', 'pipe', 'pipe'], signal})
  const last: string[] = []
  createInterface({input: child.stderr}).on('line', (line) => {
    last.push(line)
    if (last.length > 15) last.shift()
    if (line.startsWith('I: ')) onLine(line.slice('I: '.length))
  })
  const ended = exitCodeOf(child)
  await Promise.all([
    pipeline(child.stdout, createZstdCompress(), createWriteStream(compressed), {signal}),
    ended,
  ])
  const exitCode = await ended
  if (exitCode === 0) return
  throw new InfrastructureError(
    'NODE_IMAGE_FAILED',
    `mmdebstrap exited with code ${exitCode}: ${last.filter((line) => !line.startsWith('I: ')).join('; ')}`,
    {suggestions: ['check apt on this machine: apt-get update', withApt]},
  )
}

function exitCodeOf(child: ReturnType<typeof spawn>): Promise<number> {
  return new Promise((resolve, reject) => {
    child.once('error', (error) => reject(isMissing(error) ? mmdebstrapMissing(error) : error))
    child.once('close', (code) => resolve(code ?? -1))
  })
}

function mmdebstrapMissing(cause: unknown): InfrastructureError {
  return new InfrastructureError(
    'NODE_IMAGE_FAILED',
    'no container registry responds and mmdebstrap is not installed',
    {
      cause,
      suggestions: ['apt-get install mmdebstrap', 'npm run quickstart'],
    },
  )
}

async function outputOf(
  program: string,
  argv: readonly string[],
  environment: Readonly<Record<string, string | undefined>>,
  signal: AbortSignal,
): Promise<string> {
  const child = spawn(program, argv, {env: {...environment}, stdio: ['ignore', 'pipe', 'ignore'], signal})
  const ended = exitCodeOf(child)
  const chunks: Buffer[] = []
  child.stdout.on('data', (chunk: Buffer) => chunks.push(chunk))
  await ended
  return Buffer.concat(chunks).toString('utf8')
}
