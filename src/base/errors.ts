/**
 * The base of all error classes, and the classes that several areas throw; the others are in `errors.ts` of their area.
 * A class is for our own `instanceof`, `code` is the identity for machines, `exitCode` for shells.
 */

export interface ErrorDetails {
  readonly suggestions?: readonly string[]
  readonly cause?: unknown
}

/** What was thrown, in words. */
export const errorMessage = (error: unknown): string =>
  error instanceof Error ? error.message : String(error)

export interface ConfigProblem {
  /** Dotted path in the document: `spec.network.podCidr`. */
  readonly path: string
  readonly value: unknown
  readonly problem: string
}

export interface PreflightFinding {
  readonly host: string
  /** Name of the check, as `--ignore-preflight` takes it. */
  readonly check: string
  readonly problem: string
  readonly fix: string
}

export interface FailedCommand {
  readonly host: string
  /** What ran, already redacted, fit to paste into a shell. */
  readonly command: string
  readonly exitCode: number | undefined
  readonly signal: string | undefined
  readonly stdout: string
  readonly stderr: string
}

/** An error that Terraform reported. */
export interface TerraformDiagnostic {
  /** `aws_instance.cp-1`; absent: it belongs to no resource. */
  readonly address?: string
  readonly summary: string
  readonly detail: string
}

export interface HostFailure {
  /** Absent for a step on the cluster. */
  readonly host: string | undefined
  readonly phase: string
  readonly step: string | undefined
  readonly error: Error
  /** What the phase found when it looked for the cause: the last meaningful lines of a log. */
  readonly evidence?: string
}

/**
 * What an error has besides its message. The CLI renders errors from this, without knowing their classes, so that a
 * command loads no area that it does not use.
 */
export interface Rendering {
  readonly problems?: readonly ConfigProblem[]
  readonly findings?: readonly PreflightFinding[]
  readonly failed?: FailedCommand
  readonly diagnostics?: readonly TerraformDiagnostic[]
  readonly failures?: readonly HostFailure[]
  /** The machine that a connection failed to. */
  readonly connection?: {readonly host: string; readonly address: string}
}

/** Base of every error that a user can act on; anything else that reaches the top is reported as a bug. */
export abstract class ClouderError extends Error {
  readonly code: string
  abstract readonly exitCode: number
  /** Commands or edits the user can make next. */
  readonly suggestions: readonly string[]
  /** The phase whose plan threw this; set once, by the engine. */
  phase: string | undefined = undefined

  constructor(code: string, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : {cause: details.cause})
    this.code = code
    this.suggestions = details.suggestions ?? []
  }

  /** Where the documentation explains this code. */
  get ref(): string {
    return `docs/errors.md#${this.code.toLowerCase()}`
  }

  /** Whether the same call may succeed later: what was called is away, overloaded, or another caller was quicker. */
  get isTransient(): boolean {
    return false
  }

  get rendering(): Rendering {
    return {}
  }
}

/** Whether an error decides nothing: what was called for may succeed later. */
export const isTransient = (error: unknown): error is ClouderError =>
  error instanceof ClouderError && error.isTransient

export type ConfigErrorCode = 'CONFIG_INVALID' | 'CONFIG_UNREADABLE' | 'FLAG_INVALID' | 'FLAG_MISSING'

/** What the user requested is invalid; nothing was changed. Exit code 3. In base, as every area checks its own input. */
export class ConfigError extends ClouderError {
  readonly exitCode = 3
  readonly problems: readonly ConfigProblem[]

  constructor(
    code: ConfigErrorCode,
    message: string,
    details: ErrorDetails & {problems?: readonly ConfigProblem[]} = {},
  ) {
    super(code, message, details)
    this.problems = details.problems ?? []
  }

  override get rendering(): Rendering {
    return {problems: this.problems}
  }
}

export type ConnectionErrorCode =
  'HOST_UNREACHABLE' | 'AUTH_FAILED' | 'HOST_KEY_CHANGED' | 'HOST_KEY_UNKNOWN' | 'LINK_LOST' | 'SUDO_REFUSED'

/** A host cannot be reached. Exit code 6. In base, as hosts throw it, and providers that read the keys of hosts. */
export class ConnectionError extends ClouderError {
  readonly exitCode = 6
  readonly host: string
  readonly address: string

  constructor(
    code: ConnectionErrorCode,
    message: string,
    details: ErrorDetails & {host: string; address: string},
  ) {
    super(code, message, details)
    this.host = details.host
    this.address = details.address
  }

  override get isTransient(): boolean {
    return this.code === 'HOST_UNREACHABLE' || this.code === 'LINK_LOST'
  }

  override get rendering(): Rendering {
    return {connection: {host: this.host, address: this.address}}
  }
}

/** What is stored on this machine is locked, unreadable or absent. Exit code 9. In base, as `files.ts` throws it. */
export class StateError extends ClouderError {
  readonly exitCode = 9

  constructor(
    code:
      | 'LOCKED'
      | 'RECORD_INVALID'
      | 'RECORD_NEWER'
      | 'CLUSTER_UNKNOWN'
      | 'NO_DEFAULT_CLUSTER'
      | 'CLUSTER_MISMATCH'
      | 'STATE_UNWRITABLE'
      | 'CONTEXT_UNKNOWN'
      | 'KUBECONFIG_CLASH'
      | 'KUBECONFIG_UNSUPPORTED',
    message: string,
    details: ErrorDetails = {},
  ) {
    super(code, message, details)
  }
}

/**
 * One or more hosts failed in a phase; every failure is kept. Exit code: the children's if they agree, else 1. In base,
 * as phases and sessions throw it, and the provider that starts containers as machines.
 */
export class HostsFailedError extends ClouderError {
  readonly failures: readonly HostFailure[]

  constructor(phase: string, failures: readonly HostFailure[], suggestions: readonly string[] = []) {
    const names = failures.map((failure) => failure.host ?? 'the cluster').join(', ')
    super('HOSTS_FAILED', `${phase} failed on ${names}`, {cause: failures[0]?.error, suggestions})
    this.failures = failures
  }

  override get rendering(): Rendering {
    return {failures: this.failures}
  }

  get exitCode(): number {
    const codes = new Set(
      this.failures.map(({error}) => (error instanceof ClouderError ? error.exitCode : 1)),
    )
    const [only] = codes
    return codes.size === 1 && only !== undefined ? only : 1
  }
}

/** The user said no, or pressed Ctrl-C. Exit code 1 or 130. */
export class AbortError extends ClouderError {
  readonly exitCode: number

  constructor(code: 'DECLINED' | 'INTERRUPTED', message: string, details: ErrorDetails = {}) {
    super(code, message, details)
    this.exitCode = code === 'INTERRUPTED' ? 130 : 1
  }
}

/** Gave up waiting; carries what was last seen. Adapters turn it into the error of their layer where one fits. */
export class TimeoutError extends ClouderError {
  readonly exitCode = 8
  readonly lastSeen: string | undefined

  constructor(message: string, details: ErrorDetails & {lastSeen?: string} = {}) {
    super('TIMED_OUT', message, details)
    this.lastSeen = details.lastSeen
  }
}
