import {expect, test} from 'vitest'
import {RESTORE_ANNOTATION} from '../../../src/api/names.ts'
import {originalPod, podTemplateOf} from '../../../src/checkpoint/pod-template.ts'
import {parsePod} from '../../../src/kubernetes/pod.ts'

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
