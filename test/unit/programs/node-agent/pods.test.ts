import {expect, test} from 'vitest'
import {RESTORE_ANNOTATION} from '../../../../src/api/names.ts'
import {cpuOf} from '../../../../src/programs/node-agent/node-features.ts'
import {ranAs} from '../../../../src/programs/node-agent/restore-decision.ts'
import {originalPod, podTemplateOf} from '../../../../src/checkpoint/pod-template.ts'
import {parsePod} from '../../../../src/programs/node-agent/pods.ts'

const pod = (more: Record<string, unknown>) =>
  parsePod({apiVersion: 'v1', kind: 'Pod', metadata: {name: 'web', namespace: 'shop', uid: 'u'}, ...more})

test('the pod for a restore is as somebody would have written it', () => {
  const token = {name: 'kube-api-access-8jw2x', mountPath: '/var/run/secrets/kubernetes.io/serviceaccount'}
  const data = {name: 'data', mountPath: '/data'}
  const template = podTemplateOf(
    parsePod({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {
        name: 'web',
        namespace: 'shop',
        uid: 'u',
        labels: {app: 'web', 'pod-template-hash': 'abc'},
        annotations: {
          team: 'red',
          [RESTORE_ANNOTATION]: 'old',
          'kubectl.kubernetes.io/last-applied-configuration': '{}',
        },
      },
      spec: {
        nodeName: 'worker-1',
        priority: 0,
        serviceAccount: 'default',
        serviceAccountName: 'default',
        containers: [{name: 'web', image: 'web:1', volumeMounts: [token, data]}],
        volumes: [{name: token.name}, {name: 'data'}],
        tolerations: [
          {key: 'node.kubernetes.io/not-ready', operator: 'Exists', tolerationSeconds: 300},
          {key: 'gpu', operator: 'Exists'},
        ],
      },
    }),
  )
  expect(template).toEqual({
    metadata: {labels: {app: 'web', 'pod-template-hash': 'abc'}, annotations: {team: 'red'}},
    spec: {
      serviceAccountName: 'default',
      containers: [{name: 'web', image: 'web:1', volumeMounts: [data]}],
      volumes: [{name: 'data'}],
      tolerations: [{key: 'gpu', operator: 'Exists'}],
    },
  })
})

test.for([
  ['runs', {containerID: 'containerd://c1', state: {running: {}}}, true],
  ['ran', {lastState: {terminated: {reason: 'Completed', containerID: 'containerd://c1'}}}, true],
  [
    'could not be started',
    {state: {terminated: {reason: 'StartError', containerID: 'containerd://c1'}}},
    false,
  ],
  ['is another one', {containerID: 'containerd://c2', state: {running: {}}}, false],
  ['is being made', {containerID: 'containerd://c1', state: {waiting: {reason: 'ContainerCreating'}}}, false],
] as const)('whether a restored container came to run: it %s', ([, status, expected]) => {
  const seen = pod({spec: {containers: []}, status: {containerStatuses: [{name: 'web', ...status}]}})
  expect(ranAs(seen, 'web', 'c1')).toBe(expected)
})

test('of a CPU counts what programs come to use, not what the kernel tells of itself', () => {
  const x86 =
    'processor\t: 0\nmodel name\t: AMD EPYC\nflags\t\t: fpu avx2 sse4_2 aes constant_tsc hypervisor ibpb\nbugs\t\t: spectre_v1\n'
  expect(cpuOf(x86)).toEqual({cpuFeatures: ['aes', 'avx2', 'sse4_2'], cpuModel: 'AMD EPYC'})
  const arm = 'processor\t: 0\nFeatures\t: fp asimd sve\nCPU implementer\t: 0x41\n'
  expect(cpuOf(arm)).toEqual({cpuFeatures: ['asimd', 'fp', 'sve'], cpuModel: '0x41'})
})

test.for([
  ['of a pod that runs no image of a checkpoint', 'app:1', 'evil:1'],
  [
    'that names an image of a checkpoint',
    'checkpoint.clouder.dev/team/ck/main',
    'checkpoint.clouder.dev/other/ck/main',
  ],
])('an original spec %s is not believed', ([, image = '', before]) => {
  const pod = parsePod({
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: {
      name: 'p',
      namespace: 'team',
      uid: 'u',
      annotations: {'clouder.dev/original-spec': JSON.stringify({containers: {main: {image: before}}})},
    },
    spec: {containers: [{name: 'main', image}]},
  })
  expect(originalPod(pod)).toBe(pod)
})
