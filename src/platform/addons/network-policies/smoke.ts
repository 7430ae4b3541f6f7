import {TimeoutError} from '../../../base/errors.ts'
import {waitFor} from '../../../base/waiting.ts'
import {KubernetesError} from '../../../kubernetes/errors.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import type {SmokeTools} from '../addon.ts'
import {deletePod, runPod, SMOKE_PORT, startPod, tryPod} from '../smoke-pods.ts'

const ENFORCED_MS = 60_000
const ADMITTED = {'clouder.dev/smoke-client': 'admitted'}

const policy = (namespace: string): KubeObject => ({
  apiVersion: 'networking.k8s.io/v1',
  kind: 'NetworkPolicy',
  metadata: {name: 'server', namespace},
  spec: {
    podSelector: {matchLabels: {app: 'server'}},
    policyTypes: ['Ingress'],
    ingress: [
      {
        from: [{podSelector: {matchLabels: ADMITTED}}],
        ports: [{port: SMOKE_PORT, protocol: 'TCP'}],
      },
    ],
  },
})

/** Where a client runs as seen from the server: on its node and on another one packets go different ways. */
const near = (kind: 'podAffinity' | 'podAntiAffinity') => ({
  [kind]: {
    preferredDuringSchedulingIgnoredDuringExecution: [
      {
        weight: 100,
        podAffinityTerm: {
          topologyKey: 'kubernetes.io/hostname',
          labelSelector: {matchLabels: {app: 'server'}},
        },
      },
    ],
  },
})
const PLACES = {same: near('podAffinity'), other: near('podAntiAffinity')}

interface Attempt {
  readonly what: string
  readonly place: keyof typeof PLACES
  readonly isAdmitted: boolean
  readonly expected: 'reached' | 'blocked'
}

/** A server that a policy protects: a client that the policy names reaches it, any other one does not. */
export async function smokeNetworkPolicies(tools: SmokeTools): Promise<void> {
  const image = tools.facts.image('smoke')
  const address = await startPod(tools, {name: 'server', image, args: ['serve'], serves: true})
  const url = `http://${address.includes(':') ? `[${address}]` : address}:${SMOKE_PORT}/`
  tools.progress('without a policy')
  const without = 'a client to reach the server while no policy selects it'
  await until(tools, url, {what: without, place: 'other', isAdmitted: false, expected: 'reached'})
  await tools.kube.apply([policy(tools.namespace)], tools.signal)
  for (const place of ['same', 'other'] as const) {
    const where = place === 'same' ? 'on the node of the server' : 'on another node'
    for (const [verb, expected] of [
      ['block', 'blocked'],
      ['admit', 'reached'],
    ] as const) {
      const what = `the policy to ${verb} a client ${where}`
      tools.progress(what)
      await until(tools, url, {what, place, isAdmitted: expected === 'reached', expected})
    }
  }
}

async function until(tools: SmokeTools, url: string, attempt: Attempt): Promise<void> {
  try {
    await (attempt.expected === 'reached' ? untilReached : untilBlocked)(tools, url, attempt)
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    throw new KubernetesError('SMOKE_TEST_FAILED', `waited for ${attempt.what}: ${error.message}`, {
      cause: error,
      suggestions: ['kubectl --namespace kube-system logs daemonset/kube-router'],
    })
  }
}

const clientOf = (tools: SmokeTools, url: string, {place, isAdmitted}: Attempt) => ({
  image: tools.facts.image('smoke'),
  args: ['get', url],
  affinity: PLACES[place],
  ...(isAdmitted ? {labels: ADMITTED} : {}),
})

/**
 * One client that keeps its address: a node learns a moment after a pod has started that a policy names it, and refuses
 * it until then.
 */
async function untilReached(tools: SmokeTools, url: string, attempt: Attempt): Promise<void> {
  const name = `${attempt.isAdmitted ? 'admitted' : 'free'}-${attempt.place}`
  await runPod(tools, {...clientOf(tools, url, attempt), name, restarts: true})
  await deletePod(tools, name)
}

async function untilBlocked(tools: SmokeTools, url: string, attempt: Attempt): Promise<void> {
  let count = 0
  await waitFor({
    what: 'a client to fail',
    check: async () => {
      count += 1
      const name = `blocked-${attempt.place}-${count}`
      const {ok, seen} = await tryPod(tools, {...clientOf(tools, url, attempt), name})
      await deletePod(tools, name)
      return ok ? {seen: `it reached ${url}`} : {value: true, seen}
    },
    timeoutMs: ENFORCED_MS,
    intervalMs: 500,
    signal: tools.signal,
  })
}
