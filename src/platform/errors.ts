import {ClouderError, type ConfigProblem, type ErrorDetails, type Rendering} from '../base/errors.ts'

export type PlatformErrorCode =
  | 'ADDON_UNKNOWN'
  | 'ADDON_UNAVAILABLE'
  | 'ADDON_PARAMETERS_INVALID'
  | 'ADDON_IN_USE'
  | 'DEPENDENCY_CYCLE'
  | 'DEPENDENCY_MISSING'
  | 'IMAGE_NOT_IN_BUNDLE'
  | 'RELEASE_LOCKED'
  | 'RELEASE_NOT_READY'
  | 'RELEASE_UNKNOWN'
  | 'FIELD_IMMUTABLE'
  | 'OBJECT_OWNED_BY_OTHER'
  | 'NAMESPACE_TERMINATING'
  | 'PERMISSION_MISSING'
  | 'CHART_DIGEST_WRONG'
  | 'CHART_INVALID'
  | 'SOURCE_INVALID'
  | 'REFERENCE_MISSING'
  | 'SECRET_EXPOSED'
  | 'STACK_PREFLIGHT_FAILED'
  | 'STACK_FAILED'
  | 'STACK_UNKNOWN'
  | 'STACK_REVISION_UNKNOWN'
  | 'HOOK_FAILED'

/** Something that is installed into a cluster cannot be, or did not become what it should. Exit code 8. */
export class PlatformError extends ClouderError {
  declare readonly code: PlatformErrorCode
  readonly exitCode = 8
  /** All that was found, each with its place. */
  readonly problems: readonly ConfigProblem[]

  constructor(
    code: PlatformErrorCode,
    message: string,
    details: ErrorDetails & {readonly problems?: readonly ConfigProblem[]} = {},
  ) {
    super(code, message, details)
    this.problems = details.problems ?? []
  }

  override get rendering(): Rendering {
    return {problems: this.problems}
  }
}
