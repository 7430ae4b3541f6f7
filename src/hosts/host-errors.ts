import {ConnectionError, HostCommandError, type FailedCommand} from '../errors.ts'
import type {CommandOutcome} from './command.ts'
import {lastMeaningfulLines} from './output.ts'
import type {Redactor} from './redaction.ts'

/** What an error says about the host it happened on. */
export interface HostIdentity {
  readonly name: string
  readonly address: string
  readonly user: string
  readonly redactor: Redactor
}

const shownLines = 5

export function failedCommand(host: HostIdentity, shown: string, outcome: CommandOutcome): FailedCommand {
  const redact = (text: string): string => host.redactor.redact(text)
  return {
    host: host.name,
    command: redact(shown),
    exitCode: outcome.exitCode,
    signal: outcome.signal,
    stdout: redact(outcome.stdout),
    stderr: redact(outcome.stderr),
  }
}

/** The error of a command that has no answer: link lost, timed out, sudo refused. Undefined: it ended by itself. */
export function errorOfNoAnswer(
  host: HostIdentity,
  shown: string,
  outcome: CommandOutcome,
  timeoutMs: number,
): ConnectionError | HostCommandError | undefined {
  const command = host.redactor.redact(shown)
  const at = {host: host.name, address: host.address}
  switch (outcome.kind) {
    case 'lost':
      return new ConnectionError(
        'LINK_LOST',
        `the connection to ${host.name} was lost while \`${command}\` ran`,
        {
          ...at,
          suggestions: ['run the same command again: it continues where this one stopped'],
        },
      )
    case 'refused':
      return sudoRefused(host, outcome)
    case 'timed-out':
      return new HostCommandError(
        'HOST_COMMAND_TIMED_OUT',
        `\`${command}\` was stopped after ${timeoutMs / 1000} s${evidence(host, outcome)}`,
        failedCommand(host, shown, outcome),
      )
    case 'not-started':
    case 'ended':
      return undefined
  }
}

function sudoRefused(host: HostIdentity, outcome: CommandOutcome): ConnectionError {
  const said = lastMeaningfulLines(host.redactor.redact(outcome.stderr), 1)[0] ?? 'no answer'
  return new ConnectionError('SUDO_REFUSED', `sudo is refused to ${host.user} on ${host.name}: ${said}`, {
    host: host.name,
    address: host.address,
    suggestions: [
      `let ${host.user} use sudo without a password: echo '${host.user} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/clouder`,
      'or give the password: sudoPassword: {env: NAME} or {file: PATH} under ssh of the host',
    ],
  })
}

/** The error of a command that ended badly: exit code not 0, or killed by a signal. */
export function errorOfFailure(
  host: HostIdentity,
  shown: string,
  outcome: CommandOutcome,
  how?: {code: 'DIGEST_MISMATCH'; message: string},
): HostCommandError {
  const failed = failedCommand(host, shown, outcome)
  if (how !== undefined) return new HostCommandError(how.code, how.message, failed)
  // The wording of ENOSPC in the C locale; no exit code tells it.
  if (/No space left on device|Disk quota exceeded/.test(outcome.stderr)) {
    return new HostCommandError(
      'DISK_FULL',
      `no space left on ${host.name} for \`${failed.command}\`${evidence(host, outcome)}`,
      failed,
      {suggestions: ['free or add disk space there: df -h']},
    )
  }
  const ending =
    outcome.exitCode === undefined
      ? `was killed by ${outcome.signal ?? 'a signal'}`
      : `exited with code ${outcome.exitCode}`
  return new HostCommandError(
    'HOST_COMMAND_FAILED',
    `\`${failed.command}\` ${ending}${evidence(host, outcome)}`,
    failed,
  )
}

function evidence(host: HostIdentity, outcome: CommandOutcome): string {
  const lines = lastMeaningfulLines(host.redactor.redact(outcome.stderr), shownLines)
  return lines.length === 0 ? '' : `\n${lines.map((line) => `  ${line}`).join('\n')}`
}
