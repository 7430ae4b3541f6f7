import {ClouderError, type ErrorDetails} from '../base/errors.ts'
import type {CloudRefusalCode} from '../terraform/errors.ts'

export type InfrastructureErrorCode =
  | 'ENGINE_MISSING'
  | 'ENGINE_NOT_PERMITTED'
  | 'ENGINE_FAILED'
  | 'NODE_IMAGE_FAILED'
  | 'PROVIDER_UNSUPPORTED'
  | 'ACCOUNT_MISMATCH'
  | 'CLOUD_UNREACHABLE'
  | 'CLOUD_FAILED'
  | 'REGION_MISSING'
  | 'FEATURE_MISSING'
  | 'NETWORK_OVERLAP'
  | 'NETWORK_MISSING'
  | 'LEFTOVERS'
  | 'DELETION_PROTECTED'
  | 'PLAN_REMOVES_MACHINES'
  | 'PLAN_STOPS_CONTROL_PLANES'
  | CloudRefusalCode

/** The provider could not make or find machines. Exit code 5. */
export class InfrastructureError extends ClouderError {
  readonly exitCode = 5

  constructor(code: InfrastructureErrorCode, message: string, details: ErrorDetails = {}) {
    super(code, message, details)
  }

  override get isTransient(): boolean {
    return this.code === 'CLOUD_UNREACHABLE' || this.code === 'ENGINE_FAILED'
  }
}
