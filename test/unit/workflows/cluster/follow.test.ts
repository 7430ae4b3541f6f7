import {expect, test} from 'vitest'
import {z} from 'zod'
import {follow} from '../../../../src/workflows/checkpoint/objects.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const object = {apiVersion: 'v1', kind: 'ConfigMap', metadata: {namespace: 'default', name: 'web'}}
const followed = (signal: AbortSignal) => {
  const kube = new FakeKube()
  kube.put(object)
  return follow(
    kube,
    {
      ref: {apiVersion: 'v1', kind: 'ConfigMap', namespace: 'default', name: 'web'},
      schema: z.looseObject({}),
      title: 'verify web',
      look: () => ({seen: 'not yet'}),
      lookAgain: 'clouder checkpoint verify web',
    },
    {report: () => undefined, now: Date.now, signal},
  )
}

test('a wait whose time is up is no interruption by the user', async () => {
  const stopped = new AbortController()
  const both = AbortSignal.any([stopped.signal, AbortSignal.timeout(30)])
  await expect(followed(both)).rejects.toMatchObject({
    code: 'TIMED_OUT',
    exitCode: 8,
    suggestions: ['clouder checkpoint verify web'],
  })
  const following = followed(AbortSignal.any([stopped.signal, AbortSignal.timeout(60_000)]))
  stopped.abort()
  await expect(following).rejects.toMatchObject({code: 'INTERRUPTED', exitCode: 130})
})
