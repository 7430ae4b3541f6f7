import {ConnectionError, errorMessage} from '../../base/errors.ts'
import type {Machine} from '../../spec/machine.ts'
import type {HostKeyTarget} from './known-hosts.ts'
import {lastMeaningfulLines} from './output.ts'

/** Where one SSH connection goes: a machine, or the bastion before it. */
export interface Destination extends HostKeyTarget {
  readonly user: string
  readonly keyPath: string | undefined
}

/** How far a login came, for the error that tells why it failed. */
export interface LoginProgress {
  /** Whether the server's key was checked and the login had begun. */
  readonly authenticating: boolean
  /** The keys that were offered, the last one last. */
  readonly tried: readonly string[]
  readonly offers: number
  /** What the server takes, as far as it said; empty: it did not. */
  readonly methods: readonly string[]
  /** Whether a key was accepted and the server wants more. */
  readonly partly: boolean
  /** What the server showed: its banner. */
  readonly said: string
}

/** The connection ended while the user was being checked, without a word. */
class ClosedInLoginError extends Error {}

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

/** The number of an SSH_MSG_DISCONNECT, by which a server says that it ends the connection. */
function isDisconnect(error: unknown): boolean {
  return error instanceof Error && 'code' in error && typeof error.code === 'number'
}

/** Turns what ssh2 throws while connecting into ours. */
export function connectionErrorOf(
  destination: Destination,
  error: unknown,
  progress: LoginProgress,
): ConnectionError {
  const said = errorMessage(error)
  const level = levelOf(error)
  if (level === 'agent') {
    const problem = `the ssh-agent refuses to sign with the key ${progress.tried.at(-1) ?? ''}: ${said}`
    return authFailed(destination, problem, error, ['see which keys it has: ssh-add -l'])
  }
  if (level === 'client-authentication') {
    return loginRefused(destination, progress, undefined, error)
  }
  if (progress.authenticating && isDisconnect(error)) return loginRefused(destination, progress, said, error)
  if (progress.authenticating && (level === undefined || level === 'client-socket')) {
    const cause = new ClosedInLoginError(said, {cause: error})
    return loginRefused(destination, progress, 'the connection was closed without a reason', cause)
  }
  return unreachable(destination, said, error)
}

/** `ending`: how the server cut it short; undefined: it heard all keys. */
function loginRefused(
  destination: Destination,
  progress: LoginProgress,
  ending: string | undefined,
  cause: unknown,
): ConnectionError {
  const {tried, offers, methods, partly, said} = progress
  const {name, user, keyPath} = destination
  const keys = tried.join(', ')
  const takesKeys = methods.length === 0 || methods.includes('publickey')
  const problem = partly
    ? `a key is accepted, but the server also requires ${methods.join(' or ')}`
    : !takesKeys
      ? `the server accepts no keys, only ${methods.join(' and ')}`
      : ending !== undefined
        ? `the server ended the login after ${tried.length} of ${offers} ${offers === 1 ? 'key' : 'keys'} (${ending}): ${keys}`
        : offers === 1
          ? `the key ${keys} is not accepted`
          : `none of ${offers} keys is accepted: ${keys}`
  const words = said.trim() === '' ? '' : `; message of the server: ${lastMeaningfulLines(said, 3).join(' ')}`
  const suggestions = [
    ...(takesKeys && !partly
      ? []
      : [`on ${name}, in sshd_config: PubkeyAuthentication yes, and AuthenticationMethods any or publickey`]),
    ...(keyPath === undefined && offers > 1
      ? [
          'set the right key, the ssh-agent then offers only that one: --key FILE with join, spec.ssh.keyPath in the file',
        ]
      : []),
    `if the key belongs to another user than ${user}, correct ssh.user in the file`,
    `install the key there: ssh-copy-id ${sshWords(destination)}`,
    `try it: ssh ${sshWords(destination)} true`,
  ]
  return authFailed(destination, `${problem}${words}`, cause, suggestions)
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

const sshWords = ({keyPath, port, user, address}: Destination): string =>
  `${keyPath === undefined ? '' : `-i ${keyPath} `}-p ${port} ${user}@${address}`

export function authFailed(
  {name, address, user}: Destination,
  problem: string,
  cause: unknown,
  suggestions: readonly string[],
): ConnectionError {
  const message = `${user} cannot log in to ${name} (${address}): ${problem}`
  return new ConnectionError('AUTH_FAILED', message, {host: name, address, cause, suggestions})
}

export function keyUnreadable(
  {name, address, user}: Destination,
  keyPath: string,
  cause: unknown,
): ConnectionError {
  const message = `${user} cannot log in to ${name} (${address}): the key ${keyPath} cannot be read`
  return new ConnectionError('AUTH_FAILED', message, {
    host: name,
    address,
    cause,
    suggestions: [
      `check that the file exists and is readable: ls -l ${keyPath}`,
      'correct the path: keyPath in the file, or --key FILE',
    ],
  })
}

// ENOENT: the program that is to carry the connection is not there.
const lasting = new Set(['ENOENT', 'ENOTFOUND', 'EACCES', 'EINVAL', 'EADDRNOTAVAIL'])

/** RFC 4254, 5.1: SSH_OPEN_ADMINISTRATIVELY_PROHIBITED. */
const administrativelyProhibited = 1

/** Whether sshd let nothing be forwarded there, by AllowTcpForwarding, PermitOpen or an option of the key. */
export function isForwardingRefused(error: unknown): boolean {
  return (
    error instanceof ConnectionError &&
    error.cause instanceof Error &&
    'reason' in error.cause &&
    error.cause.reason === administrativelyProhibited
  )
}

/** A bastion that neither forwards nor runs commands. */
export function bastionClosed(target: Destination, bastion: Destination, refusal: unknown): ConnectionError {
  const {name, address, port} = target
  return new ConnectionError(
    'HOST_UNREACHABLE',
    `${name} (${address}:${port}) cannot be reached: ${bastion.address}, the ${bastion.name}, does not forward connections`,
    {
      host: name,
      address,
      cause: refusal instanceof ConnectionError ? refusal.cause : refusal,
      suggestions: [
        `on the bastion, in /etc/ssh/sshd_config: AllowTcpForwarding local, and PermitOpen ${address}:${port} or any; then: systemctl reload ssh`,
        `make sure that the key of ${bastion.user} in its authorized_keys has neither restrict nor no-port-forwarding`,
      ],
    },
  )
}

/** Whether an unreachable host may become reachable by itself: sshd starting, address not up yet, banner cut short. */
export function mayComeUp(error: unknown): boolean {
  if (!(error instanceof ConnectionError) || error.code !== 'HOST_UNREACHABLE') return false
  const {cause} = error
  // The two sides have no algorithm in common; a bastion that is told to lead nowhere.
  if (levelOf(cause) === 'handshake' || isForwardingRefused(error)) return false
  return !(
    cause instanceof Error &&
    'code' in cause &&
    typeof cause.code === 'string' &&
    lasting.has(cause.code)
  )
}

/** Whether the line may have been cut in the middle of a login; a server that refuses by closing does the same. */
export function mayBeCut(error: unknown): boolean {
  return error instanceof ConnectionError && error.cause instanceof ClosedInLoginError
}

/** Whether a machine that boots for the first time may take this login later: its user and key are being made. */
export function mayLetIn(error: unknown): boolean {
  return (
    error instanceof ConnectionError &&
    error.code === 'AUTH_FAILED' &&
    (levelOf(error.cause) === 'client-authentication' || isDisconnect(error.cause) || mayBeCut(error))
  )
}
