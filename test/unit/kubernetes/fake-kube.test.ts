import {expect, test} from 'vitest'
import {FakeKube} from '../../support/fake-kube.ts'
import {kubeClientContract} from '../../support/kube-client-contract.ts'
import {kubeContract} from '../../support/kube-contract.ts'

kubeContract('the fake API server', () => Promise.resolve(new FakeKube()))
kubeClientContract('the fake API server', () => Promise.resolve(new FakeKube({kubelets: true})))

test('the fake API server that is down answers nothing', async () => {
  const kube = new FakeKube()
  kube.down = 'connection refused'
  await expect(kube.fetch('/readyz')).rejects.toMatchObject({code: 'API_UNREACHABLE'})
  await expect(kube.list({apiVersion: 'v1', kind: 'Node'})).rejects.toMatchObject({code: 'API_UNREACHABLE'})
})

test('the fake API server goes on from what another one saved', async () => {
  const [first, second] = [new FakeKube(), new FakeKube()]
  await first.apply([{apiVersion: 'v1', kind: 'Node', metadata: {name: 'a', labels: {x: '1'}}}])
  second.restore(JSON.parse(JSON.stringify(first.save())))
  expect(await second.get({apiVersion: 'v1', kind: 'Node', name: 'a'})).toEqual(
    await first.get({apiVersion: 'v1', kind: 'Node', name: 'a'}),
  )
  expect(await second.diff([{apiVersion: 'v1', kind: 'Node', metadata: {name: 'a'}}])).toHaveLength(1)
})
