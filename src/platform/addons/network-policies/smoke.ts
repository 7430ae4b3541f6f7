import {TimeoutError} from '../../../base/errors.ts'
import {waitFor} from '../../../base/waiting.ts'
import {KubernetesError} from '../../../kubernetes/errors.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import type {SmokeTools} from '../addon.ts'
import {deletePod, SMOKE_PORT, startPod, tryPod} from '../smoke-pods.ts'

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

async function until(
  tools: SmokeTools,
  url: string,
  {what, place, isAdmitted, expected}: Attempt,
): Promise<void> {
  let attempt = 0
  const check = async () => {
    attempt += 1
    const name = `${isAdmitted ? 'admitted' : 'client'}-${expected}-${place}-${attempt}`
    const {ok, seen} = await tryPod(tools, {
      name,
      image: tools.facts.image('smoke'),
      args: ['get', url],
      affinity: PLACES[place],
      ...(isAdmitted ? {labels: ADMITTED} : {}),
    })
    await deletePod(tools, name)
    return ok === (expected === 'reached') ? {value: true, seen} : {seen: ok ? `it reached ${url}` : seen}
  }
  try {
    await waitFor({what, check, timeoutMs: ENFORCED_MS, intervalMs: 500, signal: tools.signal})
  } catch (error) {
    if (!(error instanceof TimeoutError)) throw error
    throw new KubernetesError('SMOKE_TEST_FAILED', error.message, {
      cause: error,
      suggestions: ['kubectl --namespace kube-system logs daemonset/kube-router'],
    })
  }
}
