import {readFile} from 'node:fs/promises'
import {inflateRawSync} from 'node:zlib'
import {ConfigError} from '../base/errors.ts'

/** Which providers, in which version, Terraform works with in a folder. */
export const LOCK_FILE = '.terraform.lock.hcl'

const END = 0x06_05_4b_50
const ENTRY = 0x02_01_4b_50
const DEFLATED = 8

/**
 * The lock file that a saved plan was made with; a saved plan is a zip that holds it. With other versions Terraform
 * refuses the plan. Undefined: it holds none. Throws ConfigError CONFIG_UNREADABLE.
 */
export async function lockFileOf(planFile: string): Promise<string | undefined> {
  const zip = await readPlan(planFile)
  const end = zip.lastIndexOf(Buffer.from('PK\u0005\u0006', 'latin1'))
  if (end === -1 || zip.readUInt32LE(end) !== END) return undefined
  const count = zip.readUInt16LE(end + 10)
  let at = zip.readUInt32LE(end + 16)
  // APPNOTE of PKWARE, 4.3.12: the central directory tells where every file begins.
  for (let entry = 0; entry < count && zip.readUInt32LE(at) === ENTRY; entry += 1) {
    const [nameLength, extraLength, noteLength] = [28, 30, 32].map((offset) => zip.readUInt16LE(at + offset))
    const nameEnd = at + 46 + (nameLength ?? 0)
    if (zip.toString('utf8', at + 46, nameEnd) === LOCK_FILE) return textAt(zip, at)
    at = nameEnd + (extraLength ?? 0) + (noteLength ?? 0)
  }
  return undefined
}

async function readPlan(path: string): Promise<Buffer> {
  try {
    return await readFile(path)
  } catch (cause) {
    const said = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new ConfigError('CONFIG_UNREADABLE', `the plan ${path} cannot be read: ${said}`, {
      cause,
      suggestions: [`save one: clouder infra plan --save ${path}`],
    })
  }
}

function textAt(zip: Buffer, entry: number): string {
  const [method, size, start] = [
    zip.readUInt16LE(entry + 10),
    zip.readUInt32LE(entry + 20),
    zip.readUInt32LE(entry + 42),
  ]
  const begin = start + 30 + zip.readUInt16LE(start + 26) + zip.readUInt16LE(start + 28)
  const content = zip.subarray(begin, begin + size)
  return (method === DEFLATED ? inflateRawSync(content) : content).toString('utf8')
}
