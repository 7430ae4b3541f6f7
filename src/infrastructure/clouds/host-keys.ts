import pLimit from 'p-limit'

const CONSOLES_AT_ONCE = 8

const BEGIN = '-----BEGIN SSH HOST KEY KEYS-----'
const END = '-----END SSH HOST KEY KEYS-----'
const KEY =
  /(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) (AAAA[A-Za-z0-9+/]+={0,2})(?![A-Za-z0-9+/=])/

/**
 * Host keys that cloud-init's `keys-to-console` printed, each `<type> <base64>`; none before it has printed them all.
 * The block is the last whole one: a console keeps those of earlier boots. Lines may begin with the time and the
 * program, and a line that the kernel wrote into is left out: half a key is no key.
 */
export function parseHostKeys(consoleText: string): readonly string[] {
  const end = consoleText.lastIndexOf(END)
  const begin = end === -1 ? -1 : consoleText.lastIndexOf(BEGIN, end)
  if (begin === -1) return []
  const keys = consoleText
    .slice(begin + BEGIN.length, end)
    .split('\n')
    .flatMap((line) => {
      const [, type, blob] = KEY.exec(line) ?? []
      return type !== undefined && blob !== undefined && isWhole(type, blob) ? [`${type} ${blob}`] : []
    })
  return [...new Set(keys)]
}

/** How many fields the key of each type has after its name, RFC 4253 6.6, RFC 5656 3.1, RFC 8709 4. */
const fields: Readonly<Record<string, number>> = {'ssh-ed25519': 1, 'ssh-rsa': 2}

/** Whether it is exactly the type's name and its fields, each with its length before it. */
function isWhole(type: string, blob: string): boolean {
  const bytes = Buffer.from(blob, 'base64')
  const parts: Buffer[] = []
  let at = 0
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt32BE(at)
    parts.push(bytes.subarray(at + 4, at + 4 + length))
    at += 4 + length
  }
  const [name] = parts
  return at === bytes.length && name?.toString() === type && parts.length === 1 + (fields[type] ?? 2)
}

/** Host keys by cloud id, from what each machine printed; one that printed none yet is absent. */
export async function hostKeysOf(
  cloudIds: readonly string[],
  consoleOf: (cloudId: string) => Promise<string>,
): Promise<ReadonlyMap<string, readonly string[]>> {
  const limit = pLimit(CONSOLES_AT_ONCE)
  const read = await limit.map(cloudIds, async (id) => [id, parseHostKeys(await consoleOf(id))] as const)
  return new Map(read.filter(([, keys]) => keys.length > 0))
}
