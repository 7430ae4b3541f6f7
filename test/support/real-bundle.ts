import {spawn} from 'node:child_process'
import {createReadStream} from 'node:fs'
import {readFile} from 'node:fs/promises'
import {homedir} from 'node:os'
import {join} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {createZstdDecompress} from 'node:zlib'
import {z} from 'zod'
import {buildBundle} from '../../src/bundle/build.ts'
import {blobPath, bundleDir} from '../../src/bundle/load.ts'
import type {Bundle} from '../../src/bundle/types.ts'

/** Cold, Go compiles everything: half an hour on two cores. */
export const COLD_BUILD_MS = 3_600_000

/** The user's own cache: this is the bundle that the other suites install from. */
export const userCacheDir = join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'clouder')

/** Builds it from Go modules and Debian packages, or gives the one that is there. */
export function buildRealBundle(kubernetes: string, signal: AbortSignal): Promise<Bundle> {
  return buildBundle({
    kubernetes,
    arch: 'amd64',
    source: 'go',
    dir: bundleDir(userCacheDir, kubernetes, 'amd64'),
    cacheDir: userCacheDir,
    packageRoot: join(import.meta.dirname, '../..'),
    report: () => undefined,
    signal,
    environment: process.env,
  })
}

const manifestSchema = z.object({layers: z.array(z.object({digest: z.string()}))})

/** Unpacks the layers of an image over each other. */
export async function unpackImage(bundle: Bundle, name: string, dir: string): Promise<void> {
  const image = bundle.lock.images.find((candidate) => candidate.name === name)
  const blob = (digest: string): string => join(bundle.dir, 'oci', blobPath(digest))
  const manifest = manifestSchema.parse(JSON.parse(await readFile(blob(image?.manifestDigest ?? ''), 'utf8')))
  for (const {digest} of manifest.layers) {
    const unpacking = spawn('tar', ['-x', '-C', dir], {stdio: ['pipe', 'ignore', 'inherit']})
    const ended = new Promise((resolve) => unpacking.once('close', resolve))
    await pipeline(createReadStream(blob(digest)), createZstdDecompress(), unpacking.stdin)
    const code = await ended
    if (code !== 0) throw new Error(`tar ended with ${String(code)} on a layer of ${name}`)
  }
}
