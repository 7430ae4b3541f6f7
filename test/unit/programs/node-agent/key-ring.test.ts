import {expect, test} from 'vitest'
import {SYSTEM_NAMESPACE} from '../../../../src/api/names.ts'
import type {CheckpointStore} from '../../../../src/api/resources.ts'
import {clusterKeys, KEY_SECRET, storeKeys} from '../../../../src/programs/node-agent/key-ring.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const {signal} = new AbortController()
const STORE: CheckpointStore = {metadata: {name: 'default'}, spec: {node: {}}}

function cluster(): FakeKube {
  const kube = new FakeKube()
  kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: SYSTEM_NAMESPACE}})
  return kube
}

const bytesOf = (keys: Awaited<ReturnType<typeof storeKeys>>): string =>
  keys.sealing.encryption === 'none' ? '' : keys.sealing.dataKey.export().toString('hex')

test('agents that come at the same time have the same keys', async () => {
  const kube = cluster()
  const [one, other] = await Promise.all([storeKeys(kube, STORE, signal), storeKeys(kube, STORE, signal)])
  expect(bytesOf(one)).toMatch(/^[0-9a-f]{64}$/)
  expect(bytesOf(other)).toBe(bytesOf(one))
  expect(other.trust).toEqual(one.trust)
  expect(bytesOf(await storeKeys(kube, STORE, signal))).toBe(bytesOf(one))
})

test('each store has a data key of its own, kept wrapped only', async () => {
  const kube = cluster()
  const one = await storeKeys(kube, STORE, signal)
  const other = await storeKeys(kube, {...STORE, metadata: {name: 'bucket'}}, signal)
  expect(bytesOf(other)).not.toBe(bytesOf(one))
  const kept = Buffer.from(JSON.stringify(kube.peek('v1', 'Secret'))).toString()
  for (const keys of [one, other])
    for (const encoding of ['hex', 'base64'] as const)
      expect(kept).not.toContain(Buffer.from(bytesOf(keys), 'hex').toString(encoding))
})

test('a store that encrypts nothing still signs, and opens what was encrypted before', async () => {
  const kube = cluster()
  const keys = await storeKeys(kube, {...STORE, spec: {node: {}, encryption: {none: {}}}}, signal)
  expect(keys.sealing.encryption).toBe('none')
  expect(keys.wrappers.map(({kind}) => kind)).toEqual(['age'])
  expect(keys.trust).toEqual([keys.signer.publicKey])
})

test('keys of other clusters that an administrator wrote down are trusted too', async () => {
  const kube = cluster()
  await clusterKeys(kube)
  const ref = {apiVersion: 'v1', kind: 'Secret', namespace: SYSTEM_NAMESPACE, name: KEY_SECRET}
  await kube.patch(ref, {
    data: {'trusted-keys': Buffer.from('ed25519:abc\n\n ed25519:def \n').toString('base64')},
  })
  const {trust, signer} = await storeKeys(kube, STORE, signal)
  expect(trust).toEqual([signer.publicKey, 'ed25519:abc', 'ed25519:def'])
})
