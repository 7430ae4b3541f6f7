import type {ErrorDetails} from '../base/errors.ts'
import {KubernetesError} from './errors.ts'
import type {ApiAnswer} from './errors.ts'

/** An object has changed, or is gone, since what was to be written was computed: read it again. */
export class ConflictError extends KubernetesError {
  constructor(message: string, details: ErrorDetails & {answer?: ApiAnswer | undefined} = {}) {
    super('API_CONFLICT', message, details)
  }
}

const MOST_ATTEMPTS = 10

/**
 * Reads, computes and writes until nobody else writes in between: after ten such writes throws the last ConflictError.
 * Each attempt reads the object anew.
 */
export async function retryOnConflict<T>(attempt: () => Promise<T>): Promise<T> {
  for (let left = MOST_ATTEMPTS - 1; ; left -= 1) {
    try {
      return await attempt()
    } catch (error) {
      if (!(error instanceof ConflictError) || left === 0) throw error
    }
  }
}
