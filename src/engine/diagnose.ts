import {setTimeout as delay} from 'node:timers/promises'
import type {HostFailure} from '../errors.ts'
import type {HostReader} from '../hosts/host.ts'
import {fanOut} from './fan-out.ts'
import type {Phase, RunOptions} from './types.ts'

const DIAGNOSE_TIMEOUT_MS = 10_000

export interface StepFailure {
  readonly on: HostReader | undefined
  /** Absent when the host's first step had not begun. */
  readonly step: string | undefined
  readonly error: Error
  /** Whether it is only the echo of an aborted run. */
  readonly interrupted: boolean
}

/** The failures with what `phase.diagnose` has to say; at most 10 s, and its own failure never hides the first one. */
export async function withEvidence<Context, Tools>(
  phase: Phase<Context, Tools>,
  context: Context,
  failures: readonly StepFailure[],
  options: RunOptions<Tools>,
): Promise<readonly HostFailure[]> {
  const outcomes = await fanOut(
    failures,
    options.concurrency,
    async ({on, error}) => await bounded(phase.diagnose?.(context, {host: on, error}), options.signal),
    options.signal,
  )
  return outcomes.map((outcome) => {
    const {on, step, error} = outcome.item
    const failure = {host: on?.name, phase: phase.id, step, error}
    const evidence = 'error' in outcome ? `no evidence: ${outcome.error.message}` : outcome.value
    return evidence === undefined || evidence === '' ? failure : {...failure, evidence}
  })
}

async function bounded(
  evidence: Promise<string> | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (evidence === undefined) return undefined
  const settled = new AbortController()
  const timeUp = async (): Promise<string> => {
    await delay(DIAGNOSE_TIMEOUT_MS, undefined, {signal: AbortSignal.any([settled.signal, signal])})
    return `no evidence: looking for the cause took longer than ${DIAGNOSE_TIMEOUT_MS / 1000} s`
  }
  try {
    return await Promise.race([evidence, timeUp()])
  } finally {
    settled.abort()
  }
}
