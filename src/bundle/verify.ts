import {existsSync, statSync} from 'node:fs'
import {readFile, readdir} from 'node:fs/promises'
import {join} from 'node:path'
import pLimit from 'p-limit'
import {BundleError} from './errors.ts'
import {digestFile} from './digest.ts'
import {filesOf, itemsOf, type BundleFile} from './load.ts'
import {renderIndex} from './oci.ts'
import type {BundleFolder} from './types.ts'

export interface VerifyOptions {
  /** Every image reference that manifests of a cluster name. */
  readonly references: readonly string[]
  readonly signal: AbortSignal
}

const PARALLEL_FILES = 4

/**
 * Recomputes every size and digest and looks for images that are wanted and absent.
 * Throws BundleError BUNDLE_DIGEST_WRONG or BUNDLE_NOT_CLOSED; the message names every bad item.
 */
export async function verifyBundle(
  bundle: BundleFolder,
  {references, signal}: VerifyOptions,
): Promise<{items: number; sizeBytes: number}> {
  const expected = filesOf(bundle.lock)
  const limit = pLimit(PARALLEL_FILES)
  const found = await Promise.all(expected.map((file) => limit(() => checkFile(bundle.dir, file, signal))))
  const problems = [
    ...found.flat(),
    ...(await extraFiles(bundle.dir, expected)),
    ...(await checkIndex(bundle)),
  ]
  if (problems.length > 0) {
    throw new BundleError('BUNDLE_DIGEST_WRONG', `bundle ${bundle.dir} is damaged: ${problems.join('; ')}`, {
      suggestions: [`rm -r ${bundle.dir}`, `clouder bundle build --kubernetes ${bundle.lock.kubernetes}`],
    })
  }
  const inside = new Set(bundle.lock.images.map((image) => image.reference))
  const absent = [...new Set(references)].filter((reference) => !inside.has(reference))
  if (absent.length > 0) {
    throw new BundleError('BUNDLE_NOT_CLOSED', `bundle ${bundle.dir} lacks ${absent.join(', ')}`, {
      suggestions: [`clouder bundle build --kubernetes ${bundle.lock.kubernetes}`],
    })
  }
  return {
    items: itemsOf(bundle.lock).length,
    sizeBytes: expected.reduce((sum, file) => sum + file.sizeBytes, 0),
  }
}

async function checkFile(dir: string, expected: BundleFile, signal: AbortSignal): Promise<readonly string[]> {
  const {path, sizeBytes, sha256} = expected
  const found = statSync(join(dir, path), {throwIfNoEntry: false})
  if (found === undefined) return [`${path} is missing`]
  if (found.size !== sizeBytes) return [`${path} has ${found.size} bytes, not ${sizeBytes}`]
  const digest = await digestFile(join(dir, path), signal)
  return digest.sha256 === sha256 ? [] : [`${path} has sha256 ${digest.sha256}, not ${sha256}`]
}

async function extraFiles(dir: string, expected: readonly BundleFile[]): Promise<readonly string[]> {
  const known = new Set(expected.map((file) => file.path))
  const problems: string[] = []
  for (const folder of ['files', 'oci/blobs/sha256']) {
    const names = existsSync(join(dir, folder)) ? await readdir(join(dir, folder)) : []
    const extra = names.map((name) => `${folder}/${name}`).filter((path) => !known.has(path))
    problems.push(...extra.map((path) => `${path} is not in the lock`))
  }
  return problems
}

/** The layout's own index is no blob: it must say what the lock says. */
async function checkIndex(bundle: BundleFolder): Promise<readonly string[]> {
  const path = join(bundle.dir, 'oci', 'index.json')
  if (!existsSync(path)) return ['oci/index.json is missing']
  const text = await readFile(path, 'utf8')
  return text === renderIndex(bundle.lock.images, bundle.lock.arch)
    ? []
    : ['oci/index.json differs from the lock']
}
