import {isTransient} from '../errors.ts'
import type {KubeObject, ObjectRef} from '../kubernetes/types.ts'
import {retry} from '../waiting.ts'
import type {AgentTools} from './tools.ts'

const PAUSE_MS = 1_000

/**
 * Writes a status on top of an object that `expected` accepts as the server has it now, and tries until the server
 * takes or refuses it: what it tells of is done, and would have to be done again. False: the object is gone, or not as
 * expected any more.
 */
export const writeStatusIf = (
  ref: ObjectRef,
  expected: (object: KubeObject) => boolean,
  status: unknown,
  {kube, signal}: Pick<AgentTools, 'kube' | 'signal'>,
): Promise<boolean> =>
  retry(
    async () => {
      for (;;) {
        signal.throwIfAborted()
        const object = await kube.get(ref)
        if (object === undefined || !expected(object)) return false
        const {resourceVersion} = object.metadata
        const guard = resourceVersion === undefined ? {} : {resourceVersion}
        // Undefined: somebody wrote in between, which may change what is expected.
        if ((await kube.patchStatus(ref, status, guard)) !== undefined) return true
      }
    },
    {timeoutMs: Number.POSITIVE_INFINITY, intervalMs: PAUSE_MS, signal, again: isTransient},
  )
