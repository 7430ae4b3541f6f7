import {createHash, createHmac, timingSafeEqual} from 'node:crypto'
import {mkdir, open, readFile} from 'node:fs/promises'
import {dirname} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'
import {ConnectionError} from '../../base/errors.ts'

/** Whose key is checked. */
export interface HostKeyTarget {
  /** Name for messages: the machine's, or `bastion of cp-1`. */
  readonly name: string
  readonly address: string
  readonly port: number
  /** Keys that the spec or the provider vouches for, each `<type> <base64>`; when there are any, only they count. */
  readonly hostKeys: readonly string[]
}

export interface KnownHosts {
  /** Types of the keys that are known for a host, `ssh-ed25519` and the like; empty: none is known. */
  keyTypes(target: HostKeyTarget): Promise<readonly string[]>
  /** Accepts the key that a server showed, or throws ConnectionError HOST_KEY_CHANGED or HOST_KEY_UNKNOWN. */
  verify(target: HostKeyTarget, key: Buffer): Promise<void>
}

export interface KnownHostsOptions {
  /** The cluster's own file, OpenSSH format; made at the first pin. */
  readonly clusterFile: string
  /** The user's own known_hosts: read only. */
  readonly userFile?: string
  /** What to do with a key nobody knows: pin it, or refuse. */
  readonly policy: 'first-use' | 'strict'
  readonly onFirstUse?: (host: HostKeyTarget, fingerprint: string) => void
}

interface PinnedKey {
  readonly type: string
  readonly key: Buffer
  readonly revoked: boolean
  /** Where it was read: `file:line`, or the spec. */
  readonly source: string
}

/** `SHA256:…` as ssh-keygen -l shows it. */
export function fingerprintOf(key: Buffer): string {
  return `SHA256:${createHash('sha256').update(key).digest('base64').replace(/=+$/, '')}`
}

/** Type at the start of a public key blob. */
export function keyTypeOf(key: Buffer): string {
  const length = key.length < 4 ? 0 : key.readUInt32BE(0)
  return key.subarray(4, 4 + Math.min(length, 64)).toString('latin1')
}

export function createKnownHosts(options: KnownHostsOptions): KnownHosts {
  let pinning: Promise<unknown> = Promise.resolve()

  async function pinnedKeys(target: HostKeyTarget): Promise<readonly PinnedKey[]> {
    if (target.hostKeys.length > 0) return target.hostKeys.flatMap(keyOfSpec)
    const ofCluster = await keysInFile(options.clusterFile, target)
    if (ofCluster.length > 0 || options.userFile === undefined) return ofCluster
    return keysInFile(options.userFile, target)
  }

  async function verify(target: HostKeyTarget, key: Buffer): Promise<void> {
    const pinned = await pinnedKeys(target)
    const same = pinned.filter((known) => known.key.equals(key))
    if (same.length > 0 && !same.some((known) => known.revoked)) return
    if (pinned.length > 0) throw changed(target, key, pinned)
    const fingerprint = fingerprintOf(key)
    if (options.policy === 'strict') throw unknown(target, key, options.clusterFile)
    await appendLine(
      options.clusterFile,
      `${hostPattern(target)} ${keyTypeOf(key)} ${key.toString('base64')}`,
    )
    options.onFirstUse?.(target, fingerprint)
  }

  return {
    async keyTypes(target) {
      const pinned = await pinnedKeys(target)
      return [...new Set(pinned.filter((known) => !known.revoked).map((known) => known.type))]
    },
    // One at a time: machines behind one bastion meet its unknown key together, and it must be pinned once.
    verify(target, key) {
      const verified = pinning.then(() => verify(target, key))
      pinning = verified.catch(() => undefined)
      return verified
    },
  }
}

/** How known_hosts names a host: bare for port 22, else `[address]:port`. */
export function hostPattern(target: Pick<HostKeyTarget, 'address' | 'port'>): string {
  const address = target.address.toLowerCase()
  return target.port === 22 ? address : `[${address}]:${target.port}`
}

function keyOfSpec(line: string): readonly PinnedKey[] {
  const [type, base64] = line.trim().split(/\s+/)
  if (type === undefined || base64 === undefined) return []
  return [{type, key: Buffer.from(base64, 'base64'), revoked: false, source: 'hostKeys of the machine'}]
}

async function keysInFile(file: string, target: HostKeyTarget): Promise<readonly PinnedKey[]> {
  const lines = (await textOf(file)).split('\n')
  return lines.flatMap((line, index) => keysOfLine(line, hostPattern(target), `${file}:${index + 1}`))
}

/** sshd(8), SSH_KNOWN_HOSTS FILE FORMAT. Certificate authorities are left out: host certificates are not asked for. */
function keysOfLine(line: string, host: string, source: string): readonly PinnedKey[] {
  const words = line.trim().split(/\s+/)
  if (words[0] === '' || words[0]?.startsWith('#') === true || words[0] === '@cert-authority') return []
  const revoked = words[0] === '@revoked'
  const [patterns, type, base64] = revoked ? words.slice(1) : words
  if (patterns === undefined || type === undefined || base64 === undefined) return []
  if (!matches(patterns, host)) return []
  return [{type, key: Buffer.from(base64, 'base64'), revoked, source}]
}

function matches(patterns: string, host: string): boolean {
  if (patterns.startsWith('|1|')) {
    const [, , salt = '', hash = ''] = patterns.split('|')
    const wanted = Buffer.from(hash, 'base64')
    const actual = createHmac('sha1', Buffer.from(salt, 'base64')).update(host).digest()
    return wanted.length === actual.length && timingSafeEqual(wanted, actual)
  }
  const verdicts = patterns
    .toLowerCase()
    .split(',')
    .filter((pattern) => globOf(pattern.replace(/^!/, '')).test(host))
  return verdicts.length > 0 && !verdicts.some((pattern) => pattern.startsWith('!'))
}

function globOf(pattern: string): RegExp {
  const escaped = pattern.replace(/[.+^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`)
}

function changed(target: HostKeyTarget, key: Buffer, pinned: readonly PinnedKey[]): ConnectionError {
  const known = pinned.map((one) => `${one.type} ${fingerprintOf(one.key)} (${one.source})`).join(', ')
  return new ConnectionError(
    'HOST_KEY_CHANGED',
    `${target.name} (${target.address}) presents the host key ${keyTypeOf(key)} ${fingerprintOf(key)}, expected ${known}`,
    {
      host: target.name,
      address: target.address,
      suggestions: [
        'find out why it changed before you continue: either someone intercepts the connection, or the machine was recreated',
        ...new Set(pinned.map(removalOf)),
      ],
    },
  )
}

function removalOf(pinned: PinnedKey): string {
  const place = /^(.*):(\d+)$/.exec(pinned.source)
  if (place?.[1] === undefined || place[2] === undefined)
    return 'if it was recreated: correct its hostKeys in the spec'
  return `if it was recreated, remove the old line: sed -i '${place[2]}d' '${place[1]}'`
}

function unknown(target: HostKeyTarget, key: Buffer, clusterFile: string): ConnectionError {
  const line = `${hostPattern(target)} ${keyTypeOf(key)} ${key.toString('base64')}`
  return new ConnectionError(
    'HOST_KEY_UNKNOWN',
    `the host key of ${target.name} (${target.address}) is not known: ${keyTypeOf(key)} ${fingerprintOf(key)}`,
    {
      host: target.name,
      address: target.address,
      suggestions: [`if that fingerprint is correct: echo '${line}' >>'${clusterFile}'`],
    },
  )
}

const textOf = async (file: string): Promise<string> =>
  (await readFile(file, 'utf8').catch(unlessMissing)) ?? ''

/** One write to a file opened for appending, so that runs at the same time can't mix their lines. */
async function appendLine(file: string, line: string): Promise<void> {
  await mkdir(dirname(file), {recursive: true, mode: 0o700})
  const text = await textOf(file)
  const handle = await open(file, 'a', 0o600)
  try {
    await handle.write(`${text === '' || text.endsWith('\n') ? '' : '\n'}${line}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
}
