import {errorMessage} from '../../base/errors.ts'
import type {ApplyOptions} from '../../platform/release/apply.ts'
import {lockHolder} from '../session/lock-holder.ts'
import type {SessionTools} from '../session/types.ts'

/** Work on a release as a task that shows how far it is. */
export async function asTask<T>(
  title: string,
  cluster: string,
  {signal, now, run, report, store}: SessionTools,
  work: (options: ApplyOptions) => Promise<T>,
): Promise<T> {
  const task = 'release'
  const startedMs = now()
  report({type: 'task-started', task, title})
  try {
    const progress = (text: string): void => report({type: 'task-progress', task, text})
    const done = await work({signal, now, progress, ...lockHolder(store.paths(cluster), run)})
    report({type: 'task-done', task, durationMs: now() - startedMs})
    return done
  } catch (error) {
    report({type: 'task-failed', task, durationMs: now() - startedMs, message: errorMessage(error)})
    throw error
  }
}
