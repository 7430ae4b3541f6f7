/** The error classes. A class is for our own `instanceof`, `code` is the identity for machines, `exitCode` for shells. */

export interface ErrorDetails {
  readonly suggestions?: readonly string[]
  readonly cause?: unknown
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
}

export interface ConfigProblem {
  /** Dotted path in the document: `spec.network.podCidr`. */
  readonly path: string
  readonly value: unknown
  readonly problem: string
}

export type ConfigErrorCode = 'CONFIG_INVALID' | 'CONFIG_UNREADABLE' | 'FLAG_INVALID' | 'FLAG_MISSING'

/** What the user asked for cannot be meant; nothing was touched. Exit code 3. */
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
}

export interface PreflightFinding {
  readonly host: string
  /** Name of the check, as `--ignore-preflight` takes it. */
  readonly check: string
  readonly problem: string
  readonly fix: string
}

/** Machines that are not fit; all findings of all hosts. Exit code 4. */
export class PreflightError extends ClouderError {
  readonly exitCode = 4
  readonly findings: readonly PreflightFinding[]

  constructor(findings: readonly PreflightFinding[]) {
    const hosts = new Set(findings.map((finding) => finding.host)).size
    super(
      'PREFLIGHT_FAILED',
      `${findings.length} preflight ${findings.length === 1 ? 'check' : 'checks'} failed on ${hosts} ${hosts === 1 ? 'host' : 'hosts'}`,
    )
    this.findings = findings
  }
}

export type CloudErrorCode =
  | 'CREDENTIALS_MISSING'
  | 'CREDENTIALS_EXPIRED'
  | 'ACCOUNT_MISMATCH'
  | 'CLOUD_REFUSED'
  | 'CLOUD_UNREACHABLE'
  | 'CLOUD_FAILED'
  | 'REGION_MISSING'
  | 'SIZE_NOT_OFFERED'
  | 'FEATURE_MISSING'
  | 'QUOTA_EXCEEDED'
  | 'NETWORK_OVERLAP'
  | 'NETWORK_MISSING'
  | 'IMAGE_MISSING'
  | 'LEFTOVERS'
  | 'DELETION_PROTECTED'

export type TerraformErrorCode =
  | 'TERRAFORM_MISSING'
  | 'TERRAFORM_TOO_OLD'
  | 'TERRAFORM_FAILED'
  | 'STATE_LOCKED'
  | 'PLAN_STALE'
  | 'PLAN_REMOVES_MACHINES'
  | 'PLAN_STOPS_CONTROL_PLANES'
  | 'BACKEND_UNREACHABLE'

/** What Terraform says about what went wrong. */
export interface TerraformDiagnostic {
  /** `aws_instance.cp-1`; absent: it belongs to no resource. */
  readonly address?: string
  readonly summary: string
  readonly detail: string
}

export type InfrastructureErrorCode =
  | 'ENGINE_MISSING'
  | 'ENGINE_NOT_PERMITTED'
  | 'ENGINE_FAILED'
  | 'NODE_IMAGE_FAILED'
  | 'PROVIDER_UNSUPPORTED'
  | CloudErrorCode
  | TerraformErrorCode

/** The provider could not make or find machines. Exit code 5. */
export class InfrastructureError extends ClouderError {
  readonly exitCode = 5
  /** Every error that Terraform told; empty: it was not Terraform. */
  readonly diagnostics: readonly TerraformDiagnostic[]

  constructor(
    code: InfrastructureErrorCode,
    message: string,
    details: ErrorDetails & {diagnostics?: readonly TerraformDiagnostic[]} = {},
  ) {
    super(code, message, details)
    this.diagnostics = details.diagnostics ?? []
  }
}

export type ConnectionErrorCode =
  'HOST_UNREACHABLE' | 'AUTH_FAILED' | 'HOST_KEY_CHANGED' | 'HOST_KEY_UNKNOWN' | 'LINK_LOST' | 'SUDO_REFUSED'

/** A host cannot be talked to. Exit code 6. */
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

/** A command on a host did not succeed. Exit code 7. */
export class HostCommandError extends ClouderError {
  readonly exitCode = 7
  readonly failed: FailedCommand

  constructor(
    code: 'HOST_COMMAND_FAILED' | 'HOST_COMMAND_TIMED_OUT' | 'DIGEST_MISMATCH' | 'DISK_FULL',
    message: string,
    failed: FailedCommand,
    details: ErrorDetails = {},
  ) {
    super(code, message, details)
    this.failed = failed
  }
}

export type KubernetesErrorCode =
  | 'API_UNREACHABLE'
  | 'API_UNAVAILABLE'
  | 'API_CONFLICT'
  | 'API_REJECTED'
  | 'API_LOGIN_FAILED'
  | 'NOT_READY'
  | 'SMOKE_TEST_FAILED'
  | 'UNHEALTHY'

/** How an API server answered a call that it did not accept: the HTTP status, and what its Status object holds. */
export interface ApiAnswer {
  readonly status: number
  readonly reason?: string | undefined
  readonly details?: unknown
  /** What the server asks to wait before the same call is sent again. */
  readonly retryAfterMs?: number | undefined
}

const TRANSIENT: readonly string[] = ['API_UNREACHABLE', 'API_UNAVAILABLE', 'API_CONFLICT']

/** The cluster refused a change or did not become what it should. Exit code 8. */
export class KubernetesError extends ClouderError {
  readonly exitCode = 8
  /** Undefined: the API server gave no answer, or it is not about one. */
  readonly answer: ApiAnswer | undefined

  constructor(
    code: KubernetesErrorCode,
    message: string,
    details: ErrorDetails & {answer?: ApiAnswer | undefined} = {},
  ) {
    super(code, message, details)
    this.answer = details.answer
  }

  /** Whether the same call may succeed later: the server was away, overloaded, or somebody else was quicker. */
  get isTransient(): boolean {
    return TRANSIENT.includes(this.code)
  }
}

/** What is remembered on this machine is locked, unreadable or absent. Exit code 9. */
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

export type CheckpointErrorCode =
  | 'POD_NOT_FOUND'
  | 'CHECKPOINT_UNKNOWN'
  | 'CHECKPOINT_FAILED'
  | 'RESTORE_FAILED'
  | 'RESTORE_UNSUPPORTED'
  | 'RESTORE_IMPOSSIBLE'
  | 'NODE_UNLIKE'
  | 'TOO_LARGE'
  | 'PRIVILEGES_WIDER'
  | 'IMAGE_UNAVAILABLE'
  | 'MIGRATION_FAILED'
  | 'STORE_UNKNOWN'
  | 'STORE_UNREACHABLE'
  | 'STORE_REFUSED'
  | 'BLOB_MISSING'
  | 'BLOB_TAMPERED'
  | 'SIGNATURE_INVALID'
  | 'KEY_WRONG'
  | 'KEY_UNREACHABLE'
  | 'ADDON_MISSING'

/** A process could not be checkpointed, stored, moved or restored; what ran before still runs, or its checkpoint is named. Exit code 11. */
export class CheckpointError extends ClouderError {
  readonly exitCode = 11

  constructor(code: CheckpointErrorCode, message: string, details: ErrorDetails = {}) {
    super(code, message, details)
  }
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

/** One or more hosts failed in a phase; every failure is kept. Exit code: the children's if they agree, else 1. */
export class HostsFailedError extends ClouderError {
  readonly failures: readonly HostFailure[]

  constructor(phase: string, failures: readonly HostFailure[], suggestions: readonly string[] = []) {
    const names = failures.map((failure) => failure.host ?? 'the cluster').join(', ')
    super('HOSTS_FAILED', `${phase} failed on ${names}`, {cause: failures[0]?.error, suggestions})
    this.failures = failures
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

/** Machines, clouds and container engines that are away or busy. */
const TRANSIENT_ELSEWHERE: readonly string[] = [
  'HOST_UNREACHABLE',
  'LINK_LOST',
  'HOST_COMMAND_TIMED_OUT',
  'CLOUD_UNREACHABLE',
  'ENGINE_FAILED',
]

/** Whether an error decides nothing: what was called for may succeed later. */
export const isTransient = (error: unknown): error is ClouderError =>
  error instanceof KubernetesError
    ? error.isTransient
    : error instanceof ClouderError && TRANSIENT_ELSEWHERE.includes(error.code)
