import {AbortError, ConfigError} from '../base/errors.ts'
import type {Terminal} from './terminal.ts'

export interface Question {
  /** What will happen when the answer is yes, as a question: `remove 3 nodes and their data?`. */
  readonly text: string
  /** What the refusal says: `nothing was removed`. */
  readonly declined: string
  readonly yes: boolean
  readonly terminal: Terminal
  readonly signal: AbortSignal
}

/** Asks, unless `--yes`. No throws AbortError DECLINED; nobody there to ask throws ConfigError FLAG_MISSING. */
export async function confirm(question: Question): Promise<void> {
  if (question.yes) return
  if (!question.terminal.interactive) {
    throw new ConfigError(
      'FLAG_MISSING',
      `cannot ask for confirmation without a terminal: ${question.text}`,
      {
        suggestions: ['confirm in advance: add --yes, or set CLOUDER_YES=1'],
      },
    )
  }
  const prompts = await import('@inquirer/prompts')
  const answer = await prompts
    .confirm(
      {message: question.text, default: false},
      {input: process.stdin, output: question.terminal.err, signal: question.signal},
    )
    .catch((error: unknown) => {
      // Ctrl-C or Ctrl-D at the question is a no.
      if (error instanceof Error && /^(ExitPromptError|AbortPromptError)$/.test(error.name)) return false
      throw error
    })
  if (!answer) throw new AbortError('DECLINED', question.declined)
}
