import {expect, test} from 'vitest'
import {ConnectionError} from '../../../../src/base/errors.ts'
import {waitForControlPlane} from '../../../../src/bootstrap/phases/control-plane-ready.ts'
import {FakeHost} from '../../../support/fake-host.ts'

test('the next control plane waits for the one that joined, through failures that pass', async () => {
  const lost = new ConnectionError('LINK_LOST', 'the connection was lost', {
    host: 'cp-2',
    address: '192.0.2.2',
  })
  const answers = [lost, {exitCode: 1, stderr: '[-]etcd failed: reason withheld\nerror: not ready'}, 'ok']
  const joined = new FakeHost({name: 'cp-2'}).on(/^kubectl .*https:\/\/127\.0\.0\.1:6443.*\/readyz$/, () => {
    const answer = answers.shift() ?? 'ok'
    if (answer instanceof Error) throw answer
    return answer
  })
  const asked: string[] = []
  const seen: string[] = []
  const tools = {
    kube: () => Promise.reject(new Error('whichever control plane answers is not asked')),
    hostFor: (name: string) => {
      asked.push(name)
      return joined
    },
    writeLocal: () => Promise.resolve(),
    hideSecret: () => undefined,
    holder: 'test',
    now: Date.now,
  }
  const {signal} = new AbortController()
  await waitForControlPlane('cp-2', 1).run(tools, {signal, progress: (text) => seen.push(text)})
  expect(asked).toEqual(['cp-2'])
  expect(seen).toEqual(['the connection was lost', 'error: not ready'])
  expect(answers).toEqual([])
})
