import {AGENT_AWAY} from '../../api/handler-protocol.ts'
import {MOVE_WAITS} from '../../api/names.ts'
import {describeCause, diagnose} from '../../checkpoint/archive/diagnose.ts'
import {isReady, type ContainerStatus, type Pod} from '../../kubernetes/pod.ts'

/** Refusals that another attempt does not change. */
const FINAL_CODES = [
  'PRIVILEGES_WIDER',
  'NODE_UNLIKE',
  'TOO_LARGE',
  'KEY_WRONG',
  'SIGNATURE_INVALID',
  'BLOB_TAMPERED',
  'BLOB_MISSING',
  'CHECKPOINT_UNKNOWN',
  'RESTORE_UNSUPPORTED',
  'IMAGE_UNAVAILABLE',
]
/** How the kubelet calls an image that it could not fetch. What waits for it may stand still meanwhile. */
const NO_IMAGE = ['ImagePullBackOff', 'ErrImageNeverPull', 'InvalidImageName']
/** How containerd and the kubelet call a container that never ran. */
const NEVER_RAN = ['StartError', 'ContainerCannotRun', 'CreateContainerError', 'RunContainerError']
/**
 * Outages, which end: whoever waits has a limit of its own. A node that comes back makes containers before its agent is
 * there, and before the agent reaches the API server.
 */
const PASSING = [
  'STORE_UNREACHABLE',
  'KEY_UNREACHABLE',
  'API_UNREACHABLE',
  'API_UNAVAILABLE',
  'API_CONFLICT',
  AGENT_AWAY,
  MOVE_WAITS,
]
const ATTEMPTS = 3

export type Progress =
  | {readonly state: 'waiting'; readonly message: string}
  | {readonly state: 'running'; readonly message: string}
  | {readonly state: 'ready'; readonly message: string}
  | {readonly state: 'failed'; readonly reason: string; readonly message: string}

/** How far a pod is that goes on from a checkpoint. A container that ran and ended has begun anew: that is a failure. */
export function progressOf(pod: Pod): Progress {
  const statuses = pod.status.containerStatuses ?? []
  for (const status of statuses) {
    const failure = failureOf(status)
    if (failure !== undefined) return {state: 'failed', ...failure}
  }
  if (pod.status.phase === 'Failed') {
    const message = statuses.map(wordsOf).find((text) => text !== undefined) ?? pod.status.message
    return {
      state: 'failed',
      reason: 'RESTORE_FAILED',
      message: message ?? pod.status.reason ?? 'the pod failed',
    }
  }
  const running = pod.spec.containers.every(({name}) =>
    statuses.some((status) => status.name === name && status.state?.running !== undefined),
  )
  if (isReady(pod)) return {state: 'ready', message: 'ready'}
  if (running) return {state: 'running', message: 'the pod runs but is not ready yet'}
  return {state: 'waiting', message: waitingFor(pod)}
}

function failureOf(status: ContainerStatus): {reason: string; message: string} | undefined {
  const words = wordsOf(status)
  const code = FINAL_CODES.find((one) => words?.includes(one) === true)
  if (code !== undefined && status.state?.running === undefined) return {reason: code, message: words ?? code}
  const {reason: waits = '', message = ''} = status.state?.waiting ?? {}
  if (NO_IMAGE.includes(waits))
    return {reason: 'IMAGE_UNAVAILABLE', message: `container ${status.name}: ${waits}: ${message}`}
  for (const ended of [status.state?.terminated, status.lastState?.terminated]) {
    if (ended === undefined || NEVER_RAN.includes(ended.reason ?? '')) continue
    const how = ended.exitCode === undefined ? '' : ` with exit code ${ended.exitCode}`
    return {
      reason: 'RESTORE_FAILED',
      message: `container ${status.name} was restored and exited${how}${ended.message === undefined ? '' : `: ${ended.message}`}`,
    }
  }
  const tried = (status.restartCount ?? 0) >= ATTEMPTS && status.state?.running === undefined
  if (tried && !PASSING.some((one) => words?.includes(one) === true))
    return {
      reason: 'RESTORE_FAILED',
      message: explained(words) ?? `container ${status.name} was not restored in ${ATTEMPTS} attempts`,
    }
  return undefined
}

/** What the runtime said last of a container that does not run. */
function wordsOf({state, lastState}: ContainerStatus): string | undefined {
  return state?.terminated?.message ?? lastState?.terminated?.message ?? state?.waiting?.message
}

/** What the restore handler passed on of CRIU's log, with the cause and its fix before it where they are known. */
function explained(words: string | undefined): string | undefined {
  const known = diagnose(words ?? '').filter(({code}) => code !== 'unknown')
  return known.length === 0 ? words : `${known.map(describeCause).join('; ')} (${words})`
}

function waitingFor(pod: Pod): string {
  const unscheduled = pod.status.conditions?.find(
    ({type, status}) => type === 'PodScheduled' && status === 'False',
  )
  if (pod.spec.nodeName === undefined) return unscheduled?.message ?? 'waiting for a node'
  const waiting = pod.status.containerStatuses?.find(({state}) => state?.running === undefined)
  const {reason, message} = waiting?.state?.waiting ?? {}
  if (waiting === undefined || reason === undefined) return `starting on ${pod.spec.nodeName}`
  return `container ${waiting.name}: ${reason}${message === undefined ? '' : `: ${message}`}`
}
