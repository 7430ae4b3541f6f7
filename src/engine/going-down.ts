import {ConnectionError, HostCommandError} from '../errors.ts'
import type {HostReader} from '../hosts/host.ts'

const LOOK_TIMEOUT_MS = 5_000

/**
 * The error of a command that failed because its host goes down: ConnectionError LINK_LOST with the failure as its
 * cause. Undefined where the host stays up or does not say. A host that shuts down stops its daemons first and sshd
 * late, so that commands fail on a link that still works.
 */
export async function errorOfGoingDown(
  host: HostReader,
  error: Error,
  signal: AbortSignal,
): Promise<ConnectionError | undefined> {
  if (!(error instanceof HostCommandError) || error.code !== 'HOST_COMMAND_FAILED') return undefined
  const how = await goesDown(host, AbortSignal.any([signal, AbortSignal.timeout(LOOK_TIMEOUT_MS)]))
  if (how === undefined) return undefined
  return new ConnectionError('LINK_LOST', `${host.name} ${how}: ${error.message}`, {
    host: host.name,
    address: host.machine.address,
    cause: error,
    suggestions: ['run the same command again when it is back: it continues where this one stopped'],
  })
}

async function goesDown(host: HostReader, signal: AbortSignal): Promise<string | undefined> {
  try {
    // systemctl(1), is-system-running: `stopping` from the moment that the manager shuts down.
    const {stdout} = await host.query(['systemctl', 'is-system-running'], {sudo: false, signal})
    return stdout.trim() === 'stopping' ? 'is shutting down' : undefined
  } catch (lookError) {
    return lookError instanceof ConnectionError && !signal.aborted ? 'went away' : undefined
  }
}
