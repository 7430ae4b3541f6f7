import {waitFor} from '../../base/waiting.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {podOf} from '../../kubernetes/pod.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import type {SmokeTools} from './addon.ts'
import {asUser, UNPRIVILEGED} from './pods.ts'

const POD_TIMEOUT_MS = 120_000
export const SMOKE_PORT = 8080

export interface SmokePod {
  readonly name: string
  readonly image: {readonly reference: string}
  /** Replaces the entry point of the image. */
  readonly command?: readonly string[]
  readonly args?: readonly string[]
  readonly labels?: Readonly<Record<string, string>>
  readonly env?: readonly object[]
  readonly volumes?: readonly {readonly volume: object; readonly mount: object}[]
  /** It serves on `SMOKE_PORT`, and is Ready when that answers. */
  readonly serves?: boolean
  readonly affinity?: object
  /** It is started again until it succeeds, with the address that it has. */
  readonly restarts?: boolean
}

/** A pod of a smoke test: no rights, and ended at once. */
export function smokePod({namespace}: Pick<SmokeTools, 'namespace'>, pod: SmokePod): KubeObject {
  const {name, image, command, args, labels, env, volumes = [], affinity, restarts} = pod
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {name, namespace, labels: {app: name, ...labels}},
    spec: {
      restartPolicy: restarts === true ? 'OnFailure' : 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      tolerations: [{key: 'node-role.kubernetes.io/control-plane', operator: 'Exists', effect: 'NoSchedule'}],
      securityContext: asUser(),
      ...(affinity === undefined ? {} : {affinity}),
      containers: [
        {
          name: 'smoke',
          image: image.reference,
          imagePullPolicy: 'IfNotPresent',
          ...(command === undefined ? {} : {command}),
          ...(args === undefined ? {} : {args}),
          ...(env === undefined ? {} : {env}),
          resources: {requests: {cpu: '10m', memory: '16Mi'}},
          securityContext: UNPRIVILEGED,
          volumeMounts: volumes.map(({mount}) => mount),
          ...(pod.serves === true
            ? {
                ports: [{containerPort: SMOKE_PORT}],
                readinessProbe: {httpGet: {path: '/', port: SMOKE_PORT}, periodSeconds: 1},
              }
            : {}),
        },
      ],
      volumes: volumes.map(({volume}) => volume),
    },
  }
}

/** Starts a pod that serves; gives its address when it is Ready. */
export async function startPod(tools: SmokeTools, pod: SmokePod): Promise<string> {
  await tools.kube.apply([smokePod(tools, pod)], tools.signal)
  return waitPod(tools, pod.name, 'Ready', ({conditions, podIP}) =>
    conditions?.some(({type, status}) => type === 'Ready' && status === 'True') === true ? podIP : undefined,
  )
}

/** Runs a pod to its end; gives what it wrote. Throws KubernetesError SMOKE_TEST_FAILED with that when it failed. */
export async function runPod(tools: SmokeTools, pod: SmokePod): Promise<string> {
  const {kube, namespace, signal} = tools
  await kube.apply([smokePod(tools, pod)], signal)
  const phase = await waitPod(tools, pod.name, 'finished', ({phase: now}) =>
    now === 'Succeeded' || now === 'Failed' ? now : undefined,
  )
  const log = await kube.fetch(`/api/v1/namespaces/${namespace}/pods/${pod.name}/log?tailLines=50`, signal)
  const text = log.body.trim()
  if (phase === 'Succeeded') return text
  throw new KubernetesError('SMOKE_TEST_FAILED', `pod ${namespace}/${pod.name} failed: ${text}`, {
    suggestions: [`kubectl --namespace ${namespace} describe pod ${pod.name}`],
  })
}

/** Whether a pod that is run to its end succeeds; false with what it wrote in `seen`. */
export async function tryPod(tools: SmokeTools, pod: SmokePod): Promise<{ok: boolean; seen: string}> {
  try {
    return {ok: true, seen: await runPod(tools, pod)}
  } catch (error) {
    if (error instanceof KubernetesError && error.code === 'SMOKE_TEST_FAILED')
      return {ok: false, seen: error.message}
    throw error
  }
}

/** Deletes a pod and waits until it is gone. */
export async function deletePod({kube, namespace, signal}: SmokeTools, name: string): Promise<void> {
  const ref = {apiVersion: 'v1', kind: 'Pod', namespace, name}
  await kube.delete(ref)
  await waitFor({
    what: `pod ${namespace}/${name} to be deleted`,
    check: async () =>
      (await kube.get(ref)) === undefined ? {value: true, seen: ''} : {seen: 'it is there'},
    timeoutMs: POD_TIMEOUT_MS,
    intervalMs: 250,
    signal,
  })
}

type PodStatus = NonNullable<NonNullable<Awaited<ReturnType<typeof podOf>>>['status']>

async function waitPod(
  {kube, namespace, signal, progress}: SmokeTools,
  name: string,
  what: string,
  read: (status: PodStatus) => string | undefined,
): Promise<string> {
  return waitFor({
    what: `pod ${namespace}/${name} to be ${what}`,
    check: async () => {
      const status = (await podOf(namespace, name, {kube}))?.status ?? {}
      const value = read(status)
      const waiting = status.containerStatuses?.[0]?.state?.waiting
      const pending = status.conditions?.find(
        ({type, status: is}) => type === 'PodScheduled' && is === 'False',
      )
      const seen = [status.phase, waiting?.reason, waiting?.message, pending?.message]
        .filter(Boolean)
        .join(' ')
      if (value === undefined && status.phase === 'Failed')
        throw new KubernetesError(
          'SMOKE_TEST_FAILED',
          `pod ${namespace}/${name} failed before it was ${what}`,
        )
      return value === undefined ? {seen} : {value, seen}
    },
    timeoutMs: POD_TIMEOUT_MS,
    intervalMs: 250,
    signal,
    onSeen: (seen) => {
      progress(`pod ${name}: ${seen}`)
    },
  })
}
