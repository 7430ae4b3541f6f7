import {BundleError} from './errors.ts'

const hex = /^[0-9a-f]{64}$/i

/**
 * The sha256 of `fileName` out of a published checksum file. Seen in the wild: the bare digest (dl.k8s.io `.sha256`),
 * `digest  name` and `digest *name` lists (sha256sum), names with a folder before them, `SHA256 (name) = digest` (BSD).
 * Throws BundleError when the file says nothing, or two different things, about the name.
 */
export function parseChecksum(text: string, fileName: string, url: string): string {
  const lines = text
    .split(/\r?\n/)
    .map((line) => line.trim())
    .filter((line) => line !== '' && !line.startsWith('#'))
  const [only] = lines
  if (only !== undefined && lines.length === 1 && hex.test(only)) return only.toLowerCase()
  const found = new Set(
    lines.map(parseLine).flatMap((line) => (line?.name === fileName ? [line.digest] : [])),
  )
  const [digest] = found
  if (digest === undefined || found.size > 1) {
    throw new BundleError(
      'BUILD_FAILED',
      `${url} contains ${found.size === 0 ? 'no sha256' : 'several sha256'} of ${fileName}`,
    )
  }
  return digest
}

function parseLine(line: string): {name: string; digest: string} | undefined {
  const list = /^([0-9a-f]{64})\s+\*?(.+)$/i.exec(line)
  const bsd = /^SHA256 \((.+)\) = ([0-9a-f]{64})$/i.exec(line)
  const [name, digest] = list !== null ? [list[2], list[1]] : [bsd?.[1], bsd?.[2]]
  if (name === undefined || digest === undefined) return undefined
  return {name: name.slice(name.lastIndexOf('/') + 1), digest: digest.toLowerCase()}
}
