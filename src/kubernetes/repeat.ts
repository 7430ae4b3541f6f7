import {KubernetesError} from './errors.ts'
import {pause} from '../base/waiting.ts'
import {codeOf} from './answers.ts'
import type {Refusals} from './refusals.ts'
import type {Call, Transport} from './transport.ts'
import type {HttpAnswer} from './types.ts'

/** So long a server that answers is given until it accepts a call, and one that does not answer until it does. */
const PATIENCE_MS = {answers: 30_000, silent: 10_000} as const
const PAUSE_MS = {first: 100, most: 5_000} as const

type Outcome = {readonly answer: HttpAnswer} | {readonly silence: KubernetesError}

/**
 * Sends a call again, as late as the server asks for, while it is overloaded, away or, where `refusals` judges that,
 * starting. Gives the last answer, whatever it is. Throws KubernetesError API_UNREACHABLE.
 */
export async function sendRepeatedly(
  transport: Transport,
  call: Call,
  refusals?: Refusals,
): Promise<HttpAnswer> {
  const startedMs = performance.now()
  const signal =
    call.signal === undefined ? transport.signal : AbortSignal.any([transport.signal, call.signal])
  for (let pauseMs: number = PAUSE_MS.first; ; pauseMs = Math.min(pauseMs * 2, PAUSE_MS.most)) {
    const outcome = await attempt(transport, call, refusals)
    const waitMs = Math.max(askedMs(outcome), pauseMs * (0.5 + Math.random()))
    const patienceMs = 'answer' in outcome ? PATIENCE_MS.answers : PATIENCE_MS.silent
    if (!mayRepeat(call, outcome) || performance.now() - startedMs + waitMs > patienceMs)
      return given(outcome)
    await pause(waitMs, signal)
  }
}

async function attempt(transport: Transport, call: Call, refusals: Refusals | undefined): Promise<Outcome> {
  try {
    const answer = await transport.send(call)
    return {answer: (await refusals?.judge(answer)) ?? answer}
  } catch (error) {
    if (error instanceof KubernetesError && error.code === 'API_UNREACHABLE') return {silence: error}
    throw error
  }
}

function given(outcome: Outcome): HttpAnswer {
  if ('silence' in outcome) throw outcome.silence
  return outcome.answer
}

const askedMs = (outcome: Outcome): number => ('answer' in outcome ? (outcome.answer.retryAfterMs ?? 0) : 0)

/**
 * Whether a call may be sent again. All but POST end the same when they are done twice; a POST is repeated only where
 * the server says that it did nothing.
 */
function mayRepeat({method}: Call, outcome: Outcome): boolean {
  if ('silence' in outcome) return method !== 'POST'
  const {status, retryAfterMs, isStarting} = outcome.answer
  if (isStarting === true) return true
  if (codeOf(status) !== 'API_UNAVAILABLE') return false
  return method !== 'POST' || status === 429 || status === 503 || retryAfterMs !== undefined
}
