import {readFile} from 'node:fs/promises'
import {ConnectionError} from '../errors.ts'
import type {Machine} from '../spec/machine.ts'
import type {HostKeyTarget} from './known-hosts.ts'

/** Where one SSH connection goes: a machine, or the bastion before it. */
export interface Destination extends HostKeyTarget {
  readonly user: string
  readonly keyPath: string | undefined
}

export type Credentials =
  | {readonly privateKey: string; readonly authHandler: ['publickey']}
  | {readonly agent: string; readonly authHandler: ['agent']}

export function destinationsOf(machine: Machine): {
  readonly target: Destination
  readonly bastion: Destination | undefined
} {
  const {name, address, ssh} = machine
  const {user, port, hostKeys, keyPath, bastion} = ssh
  const target = {name, address, port, hostKeys, user, keyPath}
  if (bastion === undefined) return {target, bastion: undefined}
  return {target, bastion: {...bastion, name: `bastion of ${name}`, keyPath: bastion.keyPath ?? keyPath}}
}

/** Throws ConnectionError AUTH_FAILED when there is nothing to log in with. */
export async function credentialsOf(
  destination: Destination,
  agentSocket: string | undefined,
): Promise<Credentials> {
  const {keyPath} = destination
  if (keyPath !== undefined) {
    try {
      return {privateKey: await readFile(keyPath, 'utf8'), authHandler: ['publickey']}
    } catch (error) {
      throw keyUnreadable(destination, keyPath, error)
    }
  }
  if (agentSocket === undefined) {
    throw authFailed(destination, 'there is neither a key file nor a running ssh-agent', undefined)
  }
  return {agent: agentSocket, authHandler: ['agent']}
}

/** In the order to ask for them when no key is known. */
const allHostKeyAlgorithms = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
] as const

/**
 * The types of the known keys first, as OpenSSH does: a server has several keys, and one of another type than the
 * pinned one would look changed. The rest stays, so that a server that lost its key is told from one that is down.
 */
export function hostKeyAlgorithms(knownTypes: readonly string[]): (typeof allHostKeyAlgorithms)[number][] {
  const known = (algorithm: string): boolean =>
    knownTypes.includes(algorithm.startsWith('rsa-') ? 'ssh-rsa' : algorithm)
  return [
    ...allHostKeyAlgorithms.filter((algorithm) => known(algorithm)),
    ...allHostKeyAlgorithms.filter((algorithm) => !known(algorithm)),
  ]
}

/** ssh2 marks where in a connection's life an error belongs. */
function levelOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('level' in error)) return undefined
  return typeof error.level === 'string' ? error.level : undefined
}

/** Turns what ssh2 throws while connecting into ours. */
export function connectionErrorOf(destination: Destination, error: unknown): ConnectionError {
  const said = error instanceof Error ? error.message : String(error)
  const level = levelOf(error)
  // A key that ssh2 can't parse (encrypted, not a key) is refused before any connection and has no level.
  const unusable = level === undefined && /privateKey/.test(said)
  if (level === 'client-authentication' || level === 'agent' || unusable) {
    const key =
      destination.keyPath === undefined ? 'the keys of the ssh-agent' : `the key ${destination.keyPath}`
    const problem = unusable ? `${key} cannot be used: ${said}` : `${key} is not accepted`
    return authFailed(destination, problem, error)
  }
  return unreachable(destination, said, error)
}

export function unreachable(
  target: {readonly name: string; readonly address: string; readonly port?: number},
  said: string,
  cause: unknown,
): ConnectionError {
  const port = target.port === undefined ? '' : `:${target.port}`
  return new ConnectionError(
    'HOST_UNREACHABLE',
    `${target.name} (${target.address}${port}) cannot be reached: ${said}`,
    {
      host: target.name,
      address: target.address,
      cause,
      suggestions: [`check address, port and firewall: nc -vz ${target.address} ${target.port ?? 22}`],
    },
  )
}

function authFailed(destination: Destination, problem: string, cause: unknown): ConnectionError {
  const {name, address, user, port, keyPath} = destination
  const identity = keyPath === undefined ? '' : `-i ${keyPath} `
  return new ConnectionError('AUTH_FAILED', `${user} cannot log in to ${name} (${address}): ${problem}`, {
    host: name,
    address,
    cause,
    suggestions: [
      `try it by hand: ssh ${identity}-p ${port} ${user}@${address}`,
      keyPath === undefined
        ? 'load a key: ssh-add FILE; or name one: --key FILE with join, spec.ssh.keyPath in the file'
        : `put the key there: ssh-copy-id ${identity}-p ${port} ${user}@${address}; for a key with a passphrase leave keyPath out and use ssh-add`,
    ],
  })
}

function keyUnreadable({name, address, user}: Destination, keyPath: string, cause: unknown): ConnectionError {
  const message = `${user} cannot log in to ${name} (${address}): the key ${keyPath} cannot be read`
  return new ConnectionError('AUTH_FAILED', message, {
    host: name,
    address,
    cause,
    suggestions: [
      `see whether the file is there and yours to read: ls -l ${keyPath}`,
      'correct the path: keyPath in the file, or --key FILE',
    ],
  })
}

// ENOENT: the program that is to carry the connection is not there.
const lasting = new Set(['ENOENT', 'ENOTFOUND', 'EACCES', 'EINVAL', 'EADDRNOTAVAIL'])

/** Whether an unreachable host may become reachable by itself: sshd starting, address not up yet, banner cut short. */
export function mayComeUp(error: unknown): boolean {
  if (!(error instanceof ConnectionError) || error.code !== 'HOST_UNREACHABLE') return false
  const {cause} = error
  return !(
    cause instanceof Error &&
    'code' in cause &&
    typeof cause.code === 'string' &&
    lasting.has(cause.code)
  )
}

/** Whether a machine that boots for the first time may take this login later: its user and key are being made. */
export function mayLetIn(error: unknown): boolean {
  return (
    error instanceof ConnectionError &&
    error.code === 'AUTH_FAILED' &&
    levelOf(error.cause) === 'client-authentication'
  )
}
