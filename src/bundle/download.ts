import {createHash, randomUUID, type Hash} from 'node:crypto'
import {createReadStream} from 'node:fs'
import {mkdir, open, readdir, rename, rm, stat} from 'node:fs/promises'
import {basename, dirname, join} from 'node:path'
import {isAlive} from '../base/process-identity.ts'
import {isMissing} from '../base/system-errors.ts'
import {BundleError} from './errors.ts'
import {
  bodyOf,
  expectStatus,
  openUrl,
  PassingError,
  withRetries,
  readSmall,
  shownUrl,
  type Headers,
  type HttpOptions,
} from './release-http.ts'

/** A file wanted on disk, and the digest that alone decides whether it is kept. */
export interface Wanted {
  /** As progress and errors name it: `kubelet v1.35.4`. */
  readonly what: string
  readonly url: string
  readonly file: string
  /** Hex. */
  readonly sha256: string
  /** Where it is known beforehand, as for the blobs of an image. */
  readonly sizeBytes?: number
  /** How the URL is opened; default: without credentials. */
  readonly open?: (headers: Headers, signal: AbortSignal) => Promise<Response>
}

export type Progress = (text: string) => void

export interface Downloads {
  /** Content of a small file. */
  text(url: string, maxBytes: number, signal: AbortSignal): Promise<string>
  /**
   * Leaves the verified file at `wanted.file`, at once when it is there already; returns its size in bytes. An
   * interrupted download stays beside it as `.part` and is continued by the next one.
   * Throws BundleError: SOURCE_UNREACHABLE, BUNDLE_DIGEST_WRONG, BUILD_FAILED.
   */
  file(wanted: Wanted, progress: Progress, signal: AbortSignal): Promise<number>
}

export function createDownloads(options: HttpOptions): Downloads {
  const running = new Map<string, Promise<number>>()
  return {
    async text(url, maxBytes, signal) {
      const content = await withRetries(
        shownUrl(url),
        async (tried) => {
          const response = await openUrl(url, {}, tried)
          await expectStatus(url, response)
          return readSmall(url, response, maxBytes, tried)
        },
        options,
        signal,
      )
      return Buffer.from(content).toString('utf8')
    },
    async file(wanted, progress, signal) {
      // Two images of one bundle share layers: the second asker waits for the first one's download.
      for (let other = running.get(wanted.file); other !== undefined; other = running.get(wanted.file)) {
        await Promise.allSettled([other])
      }
      const download = downloadFile(wanted, progress, options, signal)
      running.set(wanted.file, download)
      try {
        return await download
      } finally {
        running.delete(wanted.file)
      }
    },
  }
}

/** Hex sha256 of a file, undefined when there is none. */
export async function sha256OfFile(file: string): Promise<string | undefined> {
  const hash = createHash('sha256')
  return (await hashFile(file, hash)) === undefined ? undefined : hash.digest('hex')
}

async function downloadFile(
  wanted: Wanted,
  progress: Progress,
  options: HttpOptions,
  signal: AbortSignal,
): Promise<number> {
  try {
    await mkdir(dirname(wanted.file), {recursive: true})
    if ((await sha256OfFile(wanted.file)) === wanted.sha256) return (await stat(wanted.file)).size
    await rm(wanted.file, {force: true})
    return await downloadPart(wanted, progress, options, signal)
  } catch (error) {
    throw fileError(wanted, error)
  }
}

async function downloadPart(
  wanted: Wanted,
  progress: Progress,
  options: HttpOptions,
  signal: AbortSignal,
): Promise<number> {
  const part = await claimPart(wanted.file)
  try {
    return await withRetries(
      shownUrl(wanted.url),
      (tried, alive) => attempt(wanted, part, {progress, alive}, tried),
      options,
      signal,
    )
  } catch (error) {
    if (error instanceof BundleError && error.code === 'BUNDLE_DIGEST_WRONG') await rm(part, {force: true})
    else await moveIfThere(part, `${wanted.file}.part`)
    throw error
  }
}

/** One connection: continues the part file, and moves it to its place when its digest is right. */
async function attempt(
  wanted: Wanted,
  part: string,
  notify: {progress: Progress; alive: () => void},
  signal: AbortSignal,
): Promise<number> {
  const left = await readPart(part, notify.alive)
  const complete = wanted.sizeBytes !== undefined && left.sizeBytes >= wanted.sizeBytes
  const got = complete ? left : await fetchRest(wanted, part, left, notify, signal)
  const found = got.hash.digest('hex')
  if (found === wanted.sha256) {
    await rename(part, wanted.file)
    return got.sizeBytes
  }
  if (wanted.sizeBytes !== undefined && got.sizeBytes < wanted.sizeBytes) {
    throw new PassingError(`${wanted.what} ended after ${got.sizeBytes} of ${wanted.sizeBytes} bytes`)
  }
  await rm(part, {force: true})
  // What an earlier, perhaps different, file left behind is no proof that this one is wrong.
  if (left.sizeBytes > 0 && got.continued) {
    throw new PassingError(`${wanted.what} resumed from a partial file has a wrong digest`)
  }
  throw new BundleError(
    'BUNDLE_DIGEST_WRONG',
    `${wanted.what} from ${shownUrl(wanted.url)} has sha256 ${found}, expected ${wanted.sha256}`,
  )
}

interface Received {
  readonly hash: Hash
  readonly sizeBytes: number
  /** Begins with bytes that an earlier connection brought. */
  readonly continued: boolean
}

async function fetchRest(
  wanted: Wanted,
  part: string,
  left: Received,
  notify: {progress: Progress; alive: () => void},
  signal: AbortSignal,
): Promise<Received> {
  const open = wanted.open ?? ((headers, opened) => openUrl(wanted.url, headers, opened))
  const range: Headers = left.sizeBytes > 0 ? {range: `bytes=${left.sizeBytes}-`} : {}
  const response = await open(range, signal)
  notify.alive()
  if (response.status === 416) {
    await response.body?.cancel()
    return left
  }
  await expectStatus(wanted.url, response, [200, 206])
  const from = response.status === 206 ? startOfRange(wanted, response) : 0
  if (from !== 0 && from !== left.sizeBytes) {
    await response.body?.cancel()
    throw new BundleError('BUILD_FAILED', `${shownUrl(wanted.url)} returned another range than requested`)
  }
  const begun = from === 0 ? {hash: createHash('sha256'), sizeBytes: 0, continued: false} : left
  const length = Number(response.headers.get('content-length') ?? Number.NaN)
  const totalBytes = wanted.sizeBytes ?? (Number.isNaN(length) ? undefined : from + length)
  const sizeBytes = await appendBody(wanted, part, {begun, totalBytes, response}, notify, signal)
  return {...begun, sizeBytes}
}

async function appendBody(
  wanted: Wanted,
  part: string,
  {begun, totalBytes, response}: {begun: Received; totalBytes: number | undefined; response: Response},
  {progress, alive}: {progress: Progress; alive: () => void},
  signal: AbortSignal,
): Promise<number> {
  let sizeBytes = begun.sizeBytes
  let toldAt = -Infinity
  await using file = await open(part, begun.continued ? 'a' : 'w')
  for await (const chunk of bodyOf(wanted.url, response, signal)) {
    sizeBytes += chunk.length
    if (totalBytes !== undefined && sizeBytes > totalBytes) {
      throw new BundleError('BUNDLE_DIGEST_WRONG', `${wanted.what} is larger than its ${totalBytes} bytes`)
    }
    begun.hash.update(chunk)
    await file.appendFile(chunk)
    alive()
    if (performance.now() - toldAt < 1_000) continue
    toldAt = performance.now()
    progress(
      `${wanted.what}: ${megabytes(sizeBytes)}${totalBytes === undefined ? '' : ` of ${megabytes(totalBytes)}`} MB`,
    )
  }
  return sizeBytes
}

function startOfRange(wanted: Wanted, response: Response): number {
  const header = response.headers.get('content-range') ?? ''
  const start = /^bytes (\d+)-/.exec(header)?.[1]
  if (start === undefined) {
    throw new BundleError(
      'BUILD_FAILED',
      `${shownUrl(wanted.url)} answered 206 with content-range "${header}"`,
    )
  }
  return Number(start)
}

async function readPart(part: string, alive: () => void): Promise<Received> {
  const hash = createHash('sha256')
  const sizeBytes = (await hashFile(part, hash, alive)) ?? 0
  return {hash, sizeBytes, continued: sizeBytes > 0}
}

/** Feeds a file to the hash; its size, or undefined when it does not exist. */
async function hashFile(
  file: string,
  hash: Hash,
  alive: () => void = () => undefined,
): Promise<number | undefined> {
  let sizeBytes = 0
  try {
    for await (const chunk of createReadStream(file)) {
      if (!(chunk instanceof Uint8Array)) continue
      hash.update(chunk)
      sizeBytes += chunk.length
      alive()
    }
  } catch (error) {
    if (isMissing(error)) return undefined
    throw error
  }
  return sizeBytes
}

/**
 * A part file that nobody else writes: its name carries this process and a random mark. What a finished try left
 * (`.part`), or a process that is gone, is taken over by rename, which only one of several takers can win.
 */
async function claimPart(file: string): Promise<string> {
  const mine = `${file}.${process.pid}-${randomUUID().slice(0, 8)}.part`
  if (await moveIfThere(`${file}.part`, mine)) return mine
  for (const name of await readdir(dirname(file))) {
    if (!name.startsWith(`${basename(file)}.`)) continue
    const pid = /^\.(\d+)-[0-9a-f]{8}\.part$/.exec(name.slice(basename(file).length))?.[1]
    if (pid === undefined || isAlive(Number(pid))) continue
    if (await moveIfThere(join(dirname(file), name), mine)) return mine
  }
  return mine
}

async function moveIfThere(from: string, to: string): Promise<boolean> {
  try {
    await rename(from, to)
    return true
  } catch (error) {
    if (isMissing(error)) return false
    throw error
  }
}

/** A full disk and the like, in words; everything else as it is. */
function fileError(wanted: Wanted, error: unknown): unknown {
  if (!(error instanceof Error && 'code' in error && 'syscall' in error)) return error
  return new BundleError('BUILD_FAILED', `${wanted.file} cannot be saved: ${String(error.code)}`, {
    cause: error,
  })
}

function megabytes(bytes: number): string {
  return (bytes / 1_000_000).toFixed(1)
}
