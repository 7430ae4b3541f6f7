import {ClouderError, type ErrorDetails, type Rendering, type TerraformDiagnostic} from '../base/errors.ts'

/** What a cloud refuses, no matter who asks: Terraform's providers, or clouder itself. */
export type CloudRefusalCode =
  | 'CREDENTIALS_MISSING'
  | 'CREDENTIALS_EXPIRED'
  | 'CLOUD_REFUSED'
  | 'SIZE_NOT_OFFERED'
  | 'QUOTA_EXCEEDED'
  | 'IMAGE_MISSING'

export type TerraformErrorCode =
  | 'TERRAFORM_MISSING'
  | 'TERRAFORM_TOO_OLD'
  | 'TERRAFORM_FAILED'
  | 'STATE_LOCKED'
  | 'PLAN_STALE'
  | 'BACKEND_UNREACHABLE'
  | CloudRefusalCode

/** Terraform is unsuitable, or a run of it failed. Exit code 5. */
export class TerraformError extends ClouderError {
  readonly exitCode = 5
  /** Every error that Terraform reported; empty: it did not run. */
  readonly diagnostics: readonly TerraformDiagnostic[]

  constructor(
    code: TerraformErrorCode,
    message: string,
    details: ErrorDetails & {diagnostics?: readonly TerraformDiagnostic[]} = {},
  ) {
    super(code, message, details)
    this.diagnostics = details.diagnostics ?? []
  }

  override get rendering(): Rendering {
    return this.diagnostics.length === 0 ? {} : {diagnostics: this.diagnostics}
  }
}
