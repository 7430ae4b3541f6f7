import {expect, test} from 'vitest'
import {addonReleases} from '../../../../src/bootstrap/phases/addon-releases.ts'
import type {ClusterTools} from '../../../../src/bootstrap/phases/context.ts'
import {readiness, readyPhase} from '../../../../src/bootstrap/phases/ready.ts'
import {podsOutsideNetwork} from '../../../../src/bootstrap/phases/ready/system-pods.ts'
import {FakeHost} from '../../../support/fake-host.ts'
import {FakeKube} from '../../../support/fake-kube.ts'
import {bundleWithAddons, phaseContext} from '../../../support/phase-context.ts'

const never = new AbortController().signal

interface PodOptions {
  readonly namespace?: string
  readonly name?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly hostNetwork?: boolean
  readonly address?: string
  readonly container?: object
}

const podOf = ({container = {}, ...pod}: PodOptions = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {
    name: pod.name ?? 'coredns-1',
    namespace: pod.namespace ?? 'kube-system',
    labels: pod.labels ?? {'k8s-app': 'kube-dns'},
  },
  spec: {nodeName: 'cp-1', ...(pod.hostNetwork === undefined ? {} : {hostNetwork: pod.hostNetwork})},
  status: {
    phase: 'Running',
    podIPs: [{ip: pod.address ?? '10.244.0.2'}],
    containerStatuses: [
      {
        name: 'coredns',
        restartCount: 0,
        state: {running: {startedAt: '2026-11-01T10:00:00Z'}},
        lastState: {},
        ...container,
      },
    ],
  },
})

const LOG = '[FATAL] plugin/loop: Loop (127.0.0.1:41216 -> :53) detected for zone "."'

/** A cluster in which everything is ready, and the pod. */
async function clusterWith(pod: ReturnType<typeof podOf>, renewTime = '2026-11-01T10:00:12.000000Z') {
  const kube = new FakeKube({
    statusOf: ({kind, status}) => {
      if (kind === 'Node') return {conditions: [{type: 'Ready', status: 'True'}]}
      if (kind === 'DaemonSet')
        return {
          observedGeneration: 1,
          desiredNumberScheduled: 1,
          updatedNumberScheduled: 1,
          numberAvailable: 1,
        }
      if (kind === 'CustomResourceDefinition')
        return {conditions: ['NamesAccepted', 'Established'].map((type) => ({type, status: 'True'}))}
      const replicas = {observedGeneration: 1, replicas: 2, updatedReplicas: 2, availableReplicas: 2}
      return kind === 'Deployment' ? replicas : status
    },
    answer: (path) =>
      path.startsWith('/api/v1/namespaces/kube-system/pods/coredns-1/log?') && path.includes('previous=true')
        ? {status: 200, body: `${LOG}\n`}
        : undefined,
  })
  const context = {
    ...phaseContext([new FakeHost({name: 'cp-1', machine: {role: 'control-plane'}})]),
    bundles: () => bundleWithAddons,
    kube: () => Promise.resolve(kube),
  }
  for (const {objects} of await addonReleases(context)) for (const object of objects) kube.put(object)
  for (const [kind, name] of [
    ['DaemonSet', 'kube-proxy'],
    ['Deployment', 'coredns'],
  ] as const)
    kube.put({apiVersion: 'apps/v1', kind, metadata: {namespace: 'kube-system', name}})
  kube.put({apiVersion: 'v1', kind: 'Node', metadata: {name: 'cp-1'}, spec: {podCIDRs: ['10.244.0.0/24']}})
  kube.put({
    apiVersion: 'coordination.k8s.io/v1',
    kind: 'Lease',
    metadata: {namespace: 'kube-node-lease', name: 'cp-1'},
    spec: {renewTime},
  })
  kube.put(pod)
  return {kube, context}
}

const crashed = {exitCode: 1, reason: 'Error'}
const backingOff = {
  restartCount: 3,
  state: {waiting: {reason: 'CrashLoopBackOff'}},
  lastState: {terminated: crashed},
}

test.each<[string, PodOptions, readonly string[]]>([
  ['a pod that runs', {}, []],
  [
    'a pod that waits for its next crash',
    {container: backingOff},
    [
      'pod kube-system/coredns-1: container coredns keeps crashing (CrashLoopBackOff): it was started 4 times, the last time with code 1',
    ],
  ],
  [
    'a pod between two crashes, which is available for a moment',
    {container: {restartCount: 2, lastState: {terminated: crashed}}},
    ['pod kube-system/coredns-1: container coredns ended with code 1 and was restarted less than 30 s ago'],
  ],
  [
    'a pod that crashed once, long ago',
    {
      container: {
        restartCount: 1,
        state: {running: {startedAt: '2026-11-01T09:00:00Z'}},
        lastState: {terminated: crashed},
      },
    },
    [],
  ],
  [
    'an image that cannot be had',
    {container: {state: {waiting: {reason: 'ImagePullBackOff', message: 'Back-off pulling image "x"'}}}},
    [
      'pod kube-system/coredns-1: container coredns does not start (ImagePullBackOff): Back-off pulling image "x"',
    ],
  ],
  ['a pod that is being made', {container: {state: {waiting: {reason: 'ContainerCreating'}}}}, []],
  [
    'an agent that does not start',
    {
      namespace: 'clouder-system',
      labels: {'app.kubernetes.io/name': 'clouder-node-agent'},
      container: {state: {waiting: {reason: 'CreateContainerConfigError'}}},
    },
    ['pod clouder-system/coredns-1: container coredns does not start (CreateContainerConfigError)'],
  ],
  [
    "the user's own pod in kube-system",
    {labels: {app: 'metrics-server'}, container: backingOff, address: '10.4.0.7'},
    [],
  ],
  [
    'a pod that another network made',
    {address: '10.4.0.2'},
    ['pod kube-system/coredns-1 has the address 10.4.0.2, outside 10.244.0.0/24 of cp-1'],
  ],
  ['a pod with the address of its host', {address: '10.0.0.10', hostNetwork: true}, []],
])('%s', async (_what, pod, problems) => {
  const {kube, context} = await clusterWith(podOf(pod))
  expect((await readiness(context, kube, await addonReleases(context))).problems).toEqual(problems)
})

test('the last words of a container that keeps crashing are the evidence', async () => {
  const {context} = await clusterWith(podOf({container: backingOff}))
  const evidence = await readyPhase.diagnose?.(context, {host: undefined, error: new Error('not ready')})
  expect(evidence).toBe(`== coredns-1 coredns\n${LOG}`)
})

test('a pod of the system that another network made is deleted, and then nothing is left to do', async () => {
  const {kube, context} = await clusterWith(podOf({address: '10.4.0.2'}))
  const [first, second] = await readyPhase.plan(context, never)
  expect(first?.summary).toBe(
    'delete pod kube-system/coredns-1, so that it is created again with an address of the pod network',
  )
  expect(second?.summary).toContain('wait for')
  if (first === undefined || first.on !== undefined) throw new Error('a step on no host was expected')
  const tools: ClusterTools = {
    kube: () => Promise.resolve(kube),
    hostFor: () => {
      throw new Error('no host is needed')
    },
    writeLocal: () => Promise.resolve(),
    hideSecret: () => undefined,
    holder: 'test',
    now: () => 0,
  }
  await first.run(tools, {signal: never, progress: () => undefined})
  expect(kube.changes).toEqual(['delete Pod kube-system/coredns-1'])
  expect(await readyPhase.plan(context, never)).toEqual([])
})

test('with a network that somebody brings, addresses are not judged, and crashes are', async () => {
  const {kube, context} = await clusterWith(podOf({address: '10.4.0.2', container: backingOff}))
  const spec = {...context.spec, network: {...context.spec.network, cni: 'none' as const}}
  const {problems} = await readiness({...context, spec}, kube, await addonReleases({...context, spec}))
  expect(problems).toHaveLength(1)
  expect(problems[0]).toContain('CrashLoopBackOff')
})

test('a node without a pod network of its own is measured by the network of the cluster', () => {
  const outside = podsOutsideNetwork([podOf({address: '10.4.0.2'}), podOf()], [], '10.244.0.0/16')
  expect(outside.map(({problem}) => problem)).toEqual([
    'pod kube-system/coredns-1 has the address 10.4.0.2, outside 10.244.0.0/16 of cp-1',
  ])
})
