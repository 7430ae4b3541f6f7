import {constants} from 'node:os'
import {AbortError} from '../base/errors.ts'

export interface Interruption extends Disposable {
  readonly signal: AbortSignal
}

const stopping = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const

/** The one AbortController of a run: the first signal aborts, the second ends the process at once with 130. */
export function interruptible(
  say: (text: string) => void,
  from: Pick<NodeJS.Process, 'on' | 'off' | 'exit'> = process,
): Interruption {
  const controller = new AbortController()
  const onSignal = (name: (typeof stopping)[number]) => {
    if (controller.signal.aborted) from.exit(128 + constants.signals.SIGINT)
    say('stopping… (press again to stop at once)\n')
    controller.abort(
      new AbortError('INTERRUPTED', `stopped by ${name}; run the same command again to continue`),
    )
  }
  for (const name of stopping) from.on(name, onSignal)
  return {
    signal: controller.signal,
    [Symbol.dispose]: () => {
      for (const name of stopping) from.off(name, onSignal)
    },
  }
}
