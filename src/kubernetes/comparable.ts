import {z} from 'zod'
import type {KubeObject} from './types.ts'

/** An object without what the server alone writes, so that two of them compare by what was asked for. */
export function comparable(object: KubeObject): unknown {
  const {status, metadata, ...rest} = object
  const {managedFields, resourceVersion, generation, ...kept} = metadata
  return {...rest, metadata: kept}
}

const patchSchema = z.looseObject({metadata: z.looseObject({}).optional()})

/** A merge patch that is taken only by the version that it was computed from. */
export function mergedWith(patch: object, resourceVersion: string): object {
  const {metadata, ...rest} = patchSchema.parse(patch)
  return {...rest, metadata: {...metadata, resourceVersion}}
}
