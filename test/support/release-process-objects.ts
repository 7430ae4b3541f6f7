import type {Release} from '../../src/platform/release/types.ts'
import {configMap, namespace, release} from './release-scene.ts'

/** What the process that is killed applies: enough to be in the middle of it for a while. */
export const processRelease = (): Release =>
  release('process', [
    namespace('process'),
    ...Array.from({length: 300}, (_, index) => configMap('process', `part-${index}`, {index: String(index)})),
  ])
