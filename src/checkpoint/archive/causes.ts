import type {KnownCause} from './cause.ts'
import {CAUSES_OF_DUMPS} from './causes-of-dumps.ts'
import {CAUSES_OF_RESTORES} from './causes-of-restores.ts'

/** What CRIU says, and what that means for a pod. The first that fits counts. */
export const CAUSES: readonly KnownCause[] = [...CAUSES_OF_DUMPS, ...CAUSES_OF_RESTORES]
