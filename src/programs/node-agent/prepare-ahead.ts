import type {AgentContext} from './agent-context.ts'
import type {Pod} from '../../kubernetes/pod.ts'
import {ranAs} from './restore-decision.ts'

/** Unpacks ahead of the creation of a pod's containers, and cleans up behind their start. */
export async function prepareAhead(
  pod: Pod,
  {preparations, log}: Pick<AgentContext, 'preparations' | 'log'>,
): Promise<void> {
  const {uid, name, namespace} = pod.metadata
  for (const {name: container} of pod.spec.containers) {
    const id = await preparations.asked(uid, container)
    if (id !== undefined && ranAs(pod, container, id)) {
      if (!(await preparations.isRestored(uid, container))) await preparations.noteRestored(uid, container)
    } else if (id === undefined && pod.status.phase !== 'Running') {
      // What is refused here is refused, with its reason, when the container is created.
      await preparations.prepare(pod, container).catch((error: unknown) => {
        log('warn', 'could not prepare a restore', {pod: name, namespace, error: String(error)})
      })
    }
  }
}
