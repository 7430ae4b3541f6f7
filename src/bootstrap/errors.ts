import {
  ClouderError,
  type ErrorDetails,
  type FailedCommand,
  type PreflightFinding,
  type Rendering,
} from '../base/errors.ts'

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

  override get rendering(): Rendering {
    return {findings: this.findings}
  }
}

export type HostCommandErrorCode =
  'HOST_COMMAND_FAILED' | 'HOST_COMMAND_TIMED_OUT' | 'DIGEST_MISMATCH' | 'DISK_FULL'

/** A command on a host did not succeed. Exit code 7. */
export class HostCommandError extends ClouderError {
  readonly exitCode = 7
  readonly failed: FailedCommand

  constructor(
    code: HostCommandErrorCode,
    message: string,
    failed: FailedCommand,
    details: ErrorDetails = {},
  ) {
    super(code, message, details)
    this.failed = failed
  }

  override get isTransient(): boolean {
    return this.code === 'HOST_COMMAND_TIMED_OUT'
  }

  override get rendering(): Rendering {
    return {failed: this.failed}
  }
}
