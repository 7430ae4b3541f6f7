import {SMOKE_REFERENCE} from '../../bundle/catalogue.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import {podOf, type Pod} from '../../kubernetes/pod.ts'
import type {KubeClient, KubeObject} from '../../kubernetes/types.ts'
import {waitFor} from '../../base/waiting.ts'
import type {Session} from '../session/session.ts'

const POD_TIMEOUT_MS = 90_000
export const PORT = 8080
export const LABEL = 'clouder.dev/smoke-test'

/** What the checks of a smoke test work with. */
export interface Bench {
  readonly kube: KubeClient
  readonly session: Session
  readonly namespace: string
  /** Two nodes that take ordinary pods; the same one twice in a cluster of one node. */
  readonly nodes: readonly [string, string]
  readonly signal: AbortSignal
}

/** What the pods alone need. */
type Place = Pick<Bench, 'kube' | 'namespace' | 'signal'>

/**
 * The namespace of the pods, with the account that they run as: a pod is refused until that is there, and the controller
 * that makes it may be busy.
 */
export const smokeNamespace = (name: string): readonly KubeObject[] => [
  {apiVersion: 'v1', kind: 'Namespace', metadata: {name, labels: {[LABEL]: 'true'}}},
  {apiVersion: 'v1', kind: 'ServiceAccount', metadata: {name: 'default', namespace: name}},
]

interface PodOptions {
  readonly name: string
  readonly node: string
  readonly args: readonly string[]
}

function pod(bench: Place, options: PodOptions): KubeObject {
  return {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: options.name,
      namespace: bench.namespace,
      labels: {app: options.name, [LABEL]: 'true'},
    },
    spec: {
      // By name, not through the scheduler: the test is about these two nodes.
      nodeName: options.node,
      restartPolicy: 'Never',
      automountServiceAccountToken: false,
      enableServiceLinks: false,
      terminationGracePeriodSeconds: 1,
      tolerations: [{operator: 'Exists'}],
      containers: [
        {
          name: 'smoke',
          image: SMOKE_REFERENCE,
          imagePullPolicy: 'IfNotPresent',
          args: options.args,
          ...(options.args[0] === 'serve'
            ? {
                ports: [{containerPort: PORT}],
                readinessProbe: {httpGet: {path: '/', port: PORT}, periodSeconds: 1},
              }
            : {}),
        },
      ],
    },
  }
}

/** Starts a server pod; gives its address when it is Ready. */
export async function startServer(bench: Place, options: Omit<PodOptions, 'args'>): Promise<string> {
  await bench.kube.apply([pod(bench, {...options, args: ['serve']})], bench.signal)
  return waitServer(bench, options.name)
}

/** Waits until a server pod is Ready; gives its address. */
export function waitServer(bench: Place, name: string): Promise<string> {
  return waitPod(bench, name, 'Ready', (status) =>
    status.conditions?.some(({type, status: is}) => type === 'Ready' && is === 'True') === true
      ? status.podIP
      : undefined,
  )
}

/** Runs a client to its end; its success is the answer. */
export async function runClient(
  bench: Bench,
  name: string,
  node: string,
  args: readonly string[],
): Promise<void> {
  await bench.kube.apply([pod(bench, {name, node, args})], bench.signal)
  const phase = await waitPod(bench, name, 'finished', (status) =>
    status.phase === 'Succeeded' || status.phase === 'Failed' ? status.phase : undefined,
  )
  if (phase === 'Succeeded') return
  const log = await bench.kube.fetch(`/api/v1/namespaces/${bench.namespace}/pods/${name}/log`, bench.signal)
  throw new KubernetesError(
    'SMOKE_TEST_FAILED',
    `\`smoke ${args.join(' ')}\` on ${node} failed: ${log.body.trim()}`,
  )
}

async function waitPod(
  bench: Place,
  name: string,
  what: string,
  read: (status: Pod['status']) => string | undefined,
): Promise<string> {
  return waitFor({
    what: `pod ${name} to be ${what}`,
    check: async () => {
      const status = (await podOf(bench.namespace, name, bench))?.status ?? {}
      const value = read(status)
      const waiting = status.containerStatuses?.[0]?.state?.waiting
      const seen = `${status.phase ?? 'no status'} ${waiting?.reason ?? ''} ${waiting?.message ?? ''}`.trim()
      if (value === undefined && status.phase === 'Failed') {
        throw new KubernetesError('SMOKE_TEST_FAILED', `pod ${name} failed before it was ${what}`)
      }
      return value === undefined ? {seen} : {value, seen}
    },
    timeoutMs: POD_TIMEOUT_MS,
    intervalMs: 250,
    signal: bench.signal,
  })
}

/** A service's rules reach every node a moment after its pods are ready: a client that comes too early tries again. */
export async function reach(bench: Bench, client: string, url: string): Promise<void> {
  let attempt = 0
  await waitFor({
    what: `${url} to answer on ${bench.nodes[1]}`,
    check: async () => {
      attempt += 1
      try {
        await runClient(bench, `${client}-${attempt}`, bench.nodes[1], ['get', url])
        return {value: true, seen: 'answered'}
      } catch (error) {
        if (error instanceof KubernetesError && error.code === 'SMOKE_TEST_FAILED')
          return {seen: error.message}
        throw error
      }
    },
    timeoutMs: 30_000,
    intervalMs: 500,
    signal: bench.signal,
  })
}
