import {join} from 'node:path'
import {ConnectionError} from '../../src/base/errors.ts'
import {createKnownHosts, type KnownHosts} from '../../src/bootstrap/hosts/known-hosts.ts'
import {createRedactor} from '../../src/base/redaction.ts'
import {sshConnector, type SshConnectorOptions} from '../../src/bootstrap/hosts/ssh.ts'
import type {Host} from '../../src/bootstrap/hosts/host.ts'
import type {Machine} from '../../src/spec/machine.ts'
import type {Sshd} from './with-sshd.ts'

export interface SshTestOptions extends Partial<SshConnectorOptions> {
  readonly sudoPassword?: string
  readonly timeoutMs?: number
  readonly exclusive?: boolean
  readonly booting?: boolean
  readonly signal?: AbortSignal
}

export const clusterFileOf = (sshd: Sshd): string => join(sshd.dir, 'known_hosts')

export function knownHostsOf(sshd: Sshd, policy: 'first-use' | 'strict' = 'first-use'): KnownHosts {
  return createKnownHosts({clusterFile: clusterFileOf(sshd), policy})
}

/** A connection of its own to a test's sshd. */
export async function connectSsh(
  sshd: Sshd,
  machine: Machine,
  options: SshTestOptions = {},
): Promise<Host & AsyncDisposable> {
  const {
    sudoPassword = '',
    timeoutMs = 10_000,
    exclusive = false,
    booting = false,
    signal = AbortSignal.timeout(120_000),
    ...rest
  } = options
  const connector = sshConnector({
    knownHosts: knownHostsOf(sshd),
    secrets: () => Promise.resolve(sudoPassword),
    redactor: createRedactor(),
    ...rest,
  })
  const host = await connector.connect(machine, {signal, timeoutMs, exclusive, booting})
  return Object.assign(host, {[Symbol.asyncDispose]: () => host.close()})
}

/** The ConnectionError that it ends with. */
export async function refusalOf(work: Promise<unknown>): Promise<ConnectionError> {
  const error: unknown = await work.then(
    () => undefined,
    (failure: unknown) => failure,
  )
  if (error instanceof ConnectionError) return error
  throw new Error(`expected a ConnectionError, got ${String(error)}`)
}
