import type {Checkpoint} from '../../api/resources.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {containerIdOf, statusOf, type Pod} from '../../kubernetes/pod.ts'
import {notDumped} from './not-dumped.ts'
import type {AgentTools} from './tools.ts'

type Hook = NonNullable<NonNullable<Checkpoint['spec']['hooks']>['preCheckpoint']>

/** Runs a command in the pod, by the runtime of this node. Throws CheckpointError CHECKPOINT_FAILED when it does not succeed. */
export async function runHook(
  when: 'before' | 'after',
  pod: Pod,
  {container, command, timeoutSeconds = 30}: Hook,
  {exec, signal}: Pick<AgentTools, 'exec' | 'signal'>,
): Promise<void> {
  const hook = `hook ${when === 'before' ? 'preCheckpoint' : 'postCheckpoint'}`
  const id = containerIdOf(statusOf(pod, container))
  if (id === undefined) throw notDumped(pod, container, `${hook} has no running container to run in`)
  const {exitCode, stderr} = await exec(id, command, {timeoutSeconds, signal}).catch((error: unknown) => {
    if (!(error instanceof CheckpointError)) throw error
    throw notDumped(pod, container, `${hook} failed: ${error.message}`, error)
  })
  if (exitCode !== 0)
    throw notDumped(pod, container, `${hook} exited with code ${exitCode}: ${stderr.trim().slice(-300)}`)
}
