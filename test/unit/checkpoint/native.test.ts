import {expect, test} from 'vitest'
import {findPodCheckpoints} from '../../../src/checkpoint/native.ts'

const {signal} = new AbortController()

/** An API server that serves resources by group and version. */
const serving = (served: Readonly<Record<string, readonly string[]>>) => ({
  fetch: (path: string) => {
    const answer = (body: object) => Promise.resolve({status: 200, body: JSON.stringify(body)})
    const versions = Object.keys(served)
    if (path === '/apis') {
      const groups = Map.groupBy(versions, (version) => version.split('/')[0])
      return answer({
        groups: [...groups].map(([name, of]) => ({
          name,
          versions: of.map((groupVersion) => ({groupVersion})),
        })),
      })
    }
    const resources = served[path.replace('/apis/', '')]
    return resources === undefined
      ? Promise.resolve({status: 404, body: 'not found'})
      : answer({resources: resources.map((name) => ({name}))})
  },
})

test.for([
  ['a cluster of today', {'node.k8s.io/v1': ['runtimeclasses']}, undefined],
  [
    'the draft that is reviewed now',
    {
      'node.k8s.io/v1': ['runtimeclasses'],
      'node.k8s.io/v1alpha1': ['podcheckpoints', 'podcheckpoints/status'],
    },
    'node.k8s.io/v1alpha1',
  ],
  ['an earlier draft', {'checkpoint.k8s.io/v1alpha1': ['podcheckpoints']}, 'checkpoint.k8s.io/v1alpha1'],
  ['a kind of that name of somebody else', {'forensics.example.com/v1': ['podcheckpoints']}, undefined],
] as const)('the own API of Kubernetes is found by discovery: %s', async ([, served, expected]) => {
  expect(await findPodCheckpoints(serving(served), signal)).toBe(expected)
})

test('discovery that is refused finds nothing', async () => {
  const refusing = {fetch: () => Promise.resolve({status: 403, body: 'forbidden'})}
  expect(await findPodCheckpoints(refusing, signal)).toBeUndefined()
})
