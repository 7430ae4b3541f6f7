import {ConnectionError} from '../../base/errors.ts'
import {HostCommandError} from '../errors.ts'
import type {HostReader} from '../hosts/host.ts'

const LOOK_TIMEOUT_MS = 10_000

/** systemctl(1), is-system-running: those of a manager that shuts down, or that has just begun. */
const PASSING_STATES: readonly string[] = ['stopping', 'starting', 'initializing']

const LOOK = {
  name: 'going-down.sh',
  text: [
    'systemctl is-system-running',
    `echo "$(cat /proc/sys/kernel/random/boot_id)-$(cut -d ' ' -f 22 /proc/1/stat 2>/dev/null)"`,
    '',
  ].join('\n'),
}

/**
 * The error of a command that failed because its host goes down: ConnectionError LINK_LOST with the failure as its
 * cause. Undefined where the host stays up or cannot say. A host that shuts down stops its daemons first and sshd
 * late, so that commands fail on a link that still works. At most 10 s.
 */
export async function errorOfGoingDown(
  host: HostReader,
  error: Error,
  signal: AbortSignal,
): Promise<ConnectionError | undefined> {
  if (!(error instanceof HostCommandError) || error.code !== 'HOST_COMMAND_FAILED') return undefined
  const how = await stateOf(host, signal)
  if (how === undefined) return undefined
  return new ConnectionError('LINK_LOST', `${host.name} ${how}: ${error.message}`, {
    host: host.name,
    address: host.machine.address,
    cause: error,
    suggestions: ['run the same command again when it is back: it continues where this one stopped'],
  })
}

async function stateOf(host: HostReader, signal: AbortSignal): Promise<string | undefined> {
  const limit = AbortSignal.timeout(LOOK_TIMEOUT_MS)
  try {
    const {stdout} = await host.queryScript(LOOK, {sudo: false, signal: AbortSignal.any([signal, limit])})
    const [state = '', bootId = ''] = stdout.split('\n')
    const isNew = bootId !== '' && !isSameBoot(bootId, host.facts.bootId)
    return isNew || PASSING_STATES.includes(state) ? 'is shutting down, or was restarted' : undefined
  } catch (lookError) {
    const isGone = limit.aborted || lookError instanceof ConnectionError
    return isGone && !signal.aborted ? 'no longer responds' : undefined
  }
}

/** Where the processes of others are hidden, the second half is not known to everybody. */
const isSameBoot = (one: string, other: string): boolean => one.startsWith(other) || other.startsWith(one)
