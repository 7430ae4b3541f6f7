import {ClouderError, type ErrorDetails} from '../base/errors.ts'

export type BundleErrorCode =
  | 'BUNDLE_MISSING'
  | 'BUNDLE_INVALID'
  | 'BUNDLE_DIGEST_WRONG'
  | 'BUNDLE_NOT_CLOSED'
  | 'VERSION_NOT_IN_BUNDLE'
  | 'SOURCE_UNREACHABLE'
  | 'BUILD_FAILED'

/** The bundle cannot be built or trusted. Exit code 10. */
export class BundleError extends ClouderError {
  readonly exitCode = 10

  constructor(code: BundleErrorCode, message: string, details: ErrorDetails = {}) {
    super(code, message, details)
  }
}
