import {ConnectionError, type FailedCommand} from '../../base/errors.ts'
import {HostCommandError} from '../errors.ts'
import type {CommandOutcome} from './command.ts'
import {lastMeaningfulLines} from './output.ts'
import type {Redactor} from '../../base/redaction.ts'
import {sudoAdvice} from './sudo-advice.ts'

/** What an error says about the host it happened on. */
export interface HostIdentity {
  readonly name: string
  readonly address: string
  readonly user: string
  readonly redactor: Redactor
}

const shownLines = 5
const shownRefusalLines = 3

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
    case 'no-shell':
      return shellMissing(host, outcome)
    case 'sudo-hung':
      // It had the password and wants something else, a new one for example.
      if (outcome.askedPassword) return sudoRefused(host, outcome)
      return new HostCommandError(
        'HOST_COMMAND_TIMED_OUT',
        `sudo on ${host.name} neither started \`${command}\` nor refused it${evidence(host, outcome)}`,
        failedCommand(host, shown, outcome),
        {
          suggestions: [
            `find out what it waits for, often DNS or LDAP: time ssh ${host.user}@${host.address} sudo -n true`,
          ],
        },
      )
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
  const shown = host.redactor.redact(outcome.stderr)
  const said = lastMeaningfulLines(shown, shownRefusalLines).join(' ')
  const why = said === '' ? 'no answer' : said
  return new ConnectionError('SUDO_REFUSED', `${host.user} on ${host.name} may not use sudo: ${why}`, {
    host: host.name,
    address: host.address,
    suggestions: sudoAdvice(shown, host.user, host.name),
  })
}

/** Cloud images let root in to be told the name of the user to take; a nologin shell and ForceCommand do the like. */
function shellMissing(host: HostIdentity, outcome: CommandOutcome): ConnectionError {
  const {name, address, user} = host
  const said = lastMeaningfulLines(host.redactor.redact(outcome.stderr), shownRefusalLines).join(' ')
  const words = said === '' ? 'no output' : `output: ${said}`
  return new ConnectionError(
    'AUTH_FAILED',
    `${name} (${address}) logs ${user} in but starts no shell; ${words}`,
    {
      host: name,
      address,
      suggestions: [
        'if the output names another user, use that one: ssh.user in the file, USER@ADDRESS for --host of join',
        `otherwise find out why ${user} gets no shell: command="…" in authorized_keys, ForceCommand in sshd_config, the shell in /etc/passwd, an expired password`,
      ],
    },
  )
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
