import {errorMessage} from '../../base/errors.ts'
import type {Report} from '../../base/run-events.ts'

export interface TaskTools {
  readonly report: Report
  readonly now: () => number
  /** Takes values of Secrets out of a text. */
  readonly redact: (text: string) => string
}

/** What a service is doing now. */
export const progress = ({report}: Pick<TaskTools, 'report'>, task: string, text: string): void =>
  report({type: 'task-progress', task, text})

/** Work on a service, told from its begin to its end; `ended` gives what it came to. */
export async function asTask<T>(
  task: string,
  title: string,
  {report, now, redact}: TaskTools,
  work: () => Promise<T>,
  ended: (result: T) => string,
): Promise<T> {
  const begunAt = now()
  report({type: 'task-started', task, title})
  try {
    const result = await work()
    report({type: 'task-done', task, durationMs: now() - begunAt, text: ended(result)})
    return result
  } catch (error) {
    report({type: 'task-failed', task, durationMs: now() - begunAt, message: redact(errorMessage(error))})
    throw error
  }
}
