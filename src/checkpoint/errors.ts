import {ClouderError, type ErrorDetails} from '../base/errors.ts'

export type CheckpointErrorCode =
  | 'POD_NOT_FOUND'
  | 'CHECKPOINT_UNKNOWN'
  | 'CHECKPOINT_FAILED'
  | 'RESTORE_FAILED'
  | 'RESTORE_UNSUPPORTED'
  | 'RESTORE_IMPOSSIBLE'
  | 'NODE_UNLIKE'
  | 'TOO_LARGE'
  | 'TRANSFER_FAILED'
  | 'PRIVILEGES_WIDER'
  | 'IMAGE_UNAVAILABLE'
  | 'MIGRATION_FAILED'
  | 'MEMORY_LOST'
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
