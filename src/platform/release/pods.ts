import {z} from 'zod'
import {parsePod, type ContainerStatus, type Pod} from '../../kubernetes/pod.ts'
import {refOf} from '../../kubernetes/refs.ts'
import type {KubeObject, KubeReader, ObjectRef} from '../../kubernetes/types.ts'

/** Reasons of a waiting container that do not pass while nobody changes anything. */
const STUCK = new Set([
  'CrashLoopBackOff',
  'ErrImagePull',
  'ImagePullBackOff',
  'ErrImageNeverPull',
  'InvalidImageName',
  'CreateContainerConfigError',
  'CreateContainerError',
  'RunContainerError',
])

/** A container that ended and was started again counts as running when it has lasted this long. */
const STABLE_MS = 30_000

const leaseSchema = z.looseObject({spec: z.looseObject({renewTime: z.string().optional()}).prefault({})})

/** A pod that does not do its work, and why. */
export interface PodProblem {
  readonly pod: ObjectRef
  /** Undefined: the pod as a whole. */
  readonly container: string | undefined
  readonly problem: string
}

/** Containers that cannot start, or that keep ending: a pod between two crashes looks well for a moment. */
export async function failingContainers(
  kube: KubeReader,
  pods: readonly KubeObject[],
): Promise<readonly PodProblem[]> {
  const found = await Promise.all(
    pods.map(async (object) => {
      const pod = parsePod(object)
      const statuses = [...(pod.status.initContainerStatuses ?? []), ...(pod.status.containerStatuses ?? [])]
      const problems = await Promise.all(statuses.map((status) => containerProblem(kube, pod, status)))
      return statuses.flatMap(({name: container}, index): PodProblem[] => {
        const why = problems[index]
        if (why === undefined) return []
        return [{pod: refOf(object), container, problem: `${nameOf(object)}: container ${container} ${why}`}]
      })
    }),
  )
  return found.flat()
}

async function containerProblem(
  kube: KubeReader,
  {spec: {nodeName}}: Pod,
  {state = {}, lastState = {}, restartCount = 0}: ContainerStatus,
): Promise<string | undefined> {
  const {reason = '', message} = state.waiting ?? {}
  if (reason === 'CrashLoopBackOff') {
    const code =
      lastState.terminated?.exitCode === undefined
        ? ''
        : `, the last time with code ${lastState.terminated.exitCode}`
    return `keeps crashing (${reason}): it was started ${restartCount + 1} times${code}`
  }
  if (STUCK.has(reason)) return `does not start (${reason})${message === undefined ? '' : `: ${message}`}`
  const {exitCode = 0} = lastState.terminated ?? {}
  if (exitCode === 0 || restartCount === 0) return undefined
  const startedAt = state.running?.startedAt
  if (nodeName === undefined || startedAt === undefined) return undefined
  const nowMs = await nodeTime(kube, nodeName)
  if (nowMs === undefined || nowMs - Date.parse(startedAt) >= STABLE_MS) return undefined
  return `ended with code ${exitCode} and was restarted less than ${STABLE_MS / 1000} s ago`
}

/** The node's own clock, a few seconds old, as its kubelet wrote it: the one that its containers' times are of. */
async function nodeTime(kube: KubeReader, node: string): Promise<number | undefined> {
  const lease = await kube.get({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    namespace: 'kube-node-lease',
    name: node,
  })
  const renewTime = leaseSchema.parse(lease ?? {}).spec.renewTime
  return renewTime === undefined ? undefined : Date.parse(renewTime)
}

/** What the container wrote last, from before it ended where it did; empty where nobody can tell. */
export async function lastLogLines(kube: KubeReader, {pod, container}: PodProblem): Promise<string> {
  if (container === undefined) return ''
  const path = `/api/v1/namespaces/${pod.namespace ?? ''}/pods/${pod.name}/log`
  for (const previous of ['true', 'false']) {
    const query = new URLSearchParams({container, tailLines: '5', previous})
    const {status, body} = await kube.fetch(`${path}?${query.toString()}`)
    if (status === 200 && body.trim() !== '') return `== ${pod.name} ${container}\n${body.trimEnd()}`
  }
  return ''
}

const nameOf = ({metadata}: KubeObject): string => `pod ${metadata.namespace ?? ''}/${metadata.name}`
