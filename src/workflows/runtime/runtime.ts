import {RUNTIME_LABEL} from '../../api/names.ts'
import {labelValue} from '../../api/object-names.ts'
import {isRunning, podSchema} from '../../kubernetes/pod.ts'
import {runtimeSchema, type Runtime, type runtimeSpecSchema} from '../../api/resources.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import type {KubeClient, KubeReader} from '../../kubernetes/types.ts'
import type {z} from 'zod'
import {failureOf, type CheckpointTools, type ObjectName} from '../checkpoint/checkpoint.ts'
import {createObject, follow, listObjects, nearNames, readAs, refTo} from '../checkpoint/objects.ts'

export type RuntimeInput = z.input<typeof runtimeSpecSchema>
type State = Runtime['spec']['state']

const BETWEEN = ['Pending', 'Pausing', 'Resuming']

export interface WaitOption {
  readonly wait: boolean
}

/** Makes a runtime and follows it until it runs. Throws KubernetesError, CheckpointError. */
export async function createRuntime(
  kube: KubeClient,
  place: ObjectName,
  spec: RuntimeInput,
  {wait}: WaitOption,
  tools: CheckpointTools,
): Promise<Runtime> {
  if (!(await createObject(kube, 'Runtime', {...place, spec}, tools.signal))) {
    throw new CheckpointError(
      'CHECKPOINT_FAILED',
      `runtime ${place.namespace}/${place.name} already exists`,
      {
        suggestions: ['use another name', `clouder runtime resume ${place.namespace}/${place.name}`],
      },
    )
  }
  return wait ? followRuntime(kube, place, 'Running', tools) : readRuntime(kube, place)
}

export const listRuntimes = (kube: KubeReader, namespace?: string): Promise<readonly Runtime[]> =>
  listObjects(kube, 'Runtime', runtimeSchema, namespace)

/** Throws CheckpointError CHECKPOINT_UNKNOWN with names that are near. */
export async function readRuntime(kube: KubeReader, {namespace, name}: ObjectName): Promise<Runtime> {
  const found = await kube.get(refTo('Runtime', name, namespace))
  if (found !== undefined) return readAs(runtimeSchema, found)
  const known = (await listRuntimes(kube)).map(({metadata}) => `${metadata.namespace ?? ''}/${metadata.name}`)
  const near = nearNames(`${namespace}/${name}`, known)
  throw new CheckpointError('CHECKPOINT_UNKNOWN', `there is no runtime ${namespace}/${name}`, {
    suggestions: [near.length === 0 ? 'clouder runtime ls' : `similar: ${near.slice(0, 5).join(', ')}`],
  })
}

/** Pauses (checkpoint, then its resources are free) or resumes (anywhere) a runtime, and follows it there. */
export async function setRuntimeState(
  kube: KubeClient,
  place: ObjectName,
  state: State,
  {wait}: WaitOption,
  tools: CheckpointTools,
): Promise<Runtime> {
  const {spec, status} = await readRuntime(kube, place)
  const turn = (to: State): Promise<unknown> =>
    kube.patch(refTo('Runtime', place.name, place.namespace), {spec: {state: to}})
  // What failed is tried again: its switch is turned back and on again, which the cluster takes for a new wish. Not when
  // its memory is gone: it would begin anew.
  const {phase, reason} = status ?? {}
  if (spec.state === state && phase === 'Failed' && reason !== 'CHECKPOINT_UNKNOWN')
    await turn(state === 'Paused' ? 'Running' : 'Paused')
  await turn(state)
  return wait ? followRuntime(kube, place, state, tools) : readRuntime(kube, place)
}

function followRuntime(
  kube: KubeReader,
  {namespace, name}: ObjectName,
  state: State,
  tools: CheckpointTools,
): Promise<Runtime> {
  return follow(
    kube,
    {
      ref: refTo('Runtime', name, namespace),
      schema: runtimeSchema,
      title: `${namespace}/${name}`,
      lookAgain: 'clouder runtime ls',
      look: ({metadata, spec, status = {}}) => {
        const seen = [status.phase ?? 'waiting for the controller', status.message].filter(Boolean).join(': ')
        // What it says of an earlier wish is no answer to this one.
        if (status.observedGeneration !== metadata.generation)
          return {seen: BETWEEN.includes(status.phase ?? '') ? seen : 'waiting for the controller'}
        if (status.phase === 'Failed')
          throw failureOf(
            status.reason,
            'CHECKPOINT_FAILED',
            status.message ?? 'the cluster reports no reason',
          )
        const isThere = spec.state === state && status.phase === state
        return isThere
          ? {value: status.nodeName === undefined ? state : `${state} on ${status.nodeName}`, seen}
          : {seen}
      },
    },
    tools,
  )
}

/** The pod of a runtime that runs. Throws CheckpointError POD_NOT_FOUND when it is paused. */
export async function runtimePod(kube: KubeReader, place: ObjectName): Promise<string> {
  const {namespace, name} = place
  const {spec, status} = await readRuntime(kube, place)
  const pods = await kube.list({
    apiVersion: 'v1',
    kind: 'Pod',
    namespace,
    labelSelector: `${RUNTIME_LABEL}=${labelValue(name)}`,
  })
  const running = pods.map((pod) => podSchema.parse(pod)).find(isRunning)
  if (running !== undefined) return running.metadata.name
  throw new CheckpointError(
    'POD_NOT_FOUND',
    `runtime ${namespace}/${name} is not running: it is ${status?.phase ?? 'new'}`,
    {suggestions: spec.state === 'Paused' ? [`clouder runtime resume ${namespace}/${name}`] : []},
  )
}

/** Deletes a runtime, its pod, its checkpoints and, with it, its home volume. */
export async function deleteRuntime(kube: KubeClient, place: ObjectName): Promise<Runtime> {
  const runtime = await readRuntime(kube, place)
  await kube.delete(refTo('Runtime', place.name, place.namespace))
  return runtime
}
