import {pause} from '../../base/waiting.ts'
import type {HostFailure} from '../../base/errors.ts'
import type {HostReader} from '../hosts/host.ts'
import {fanOut} from './fan-out.ts'
import {errorOfGoingDown} from './host-shutdown.ts'
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

/**
 * The failures with what `phase.diagnose` has to say; at most 10 s, and its own failure never hides the first one.
 * Of a host that goes down, that is the failure, and not what broke on it meanwhile.
 */
export async function withEvidence<Context, Tools>(
  phase: Phase<Context, Tools>,
  context: Context,
  failures: readonly StepFailure[],
  options: RunOptions<Tools>,
): Promise<readonly HostFailure[]> {
  const outcomes = await fanOut(
    failures,
    options.concurrency,
    async (failure) => await explained(phase, context, failure, options.signal),
    options.signal,
  )
  return outcomes.map((outcome) =>
    'error' in outcome ? noEvidence(phase.id, outcome.item, outcome.error) : outcome.value,
  )
}

async function explained<Context, Tools>(
  phase: Phase<Context, Tools>,
  context: Context,
  {on, step, error}: StepFailure,
  signal: AbortSignal,
): Promise<HostFailure> {
  const failure = {host: on?.name, phase: phase.id, step}
  const lost = on === undefined ? undefined : await errorOfGoingDown(on, error, signal)
  if (lost !== undefined) return {...failure, error: lost}
  const evidence = await bounded(phase.diagnose?.(context, {host: on, error}), signal)
  return evidence === undefined || evidence === '' ? {...failure, error} : {...failure, error, evidence}
}

function noEvidence(phase: string, {on, step, error}: StepFailure, why: Error): HostFailure {
  return {host: on?.name, phase, step, error, evidence: `no evidence: ${why.message}`}
}

async function bounded(
  evidence: Promise<string> | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (evidence === undefined) return undefined
  const settled = new AbortController()
  const timeUp = async (): Promise<string> => {
    await pause(DIAGNOSE_TIMEOUT_MS, AbortSignal.any([settled.signal, signal]))
    return `no evidence: collecting it took longer than ${DIAGNOSE_TIMEOUT_MS / 1000} s`
  }
  try {
    return await Promise.race([evidence, timeUp()])
  } finally {
    settled.abort()
  }
}
