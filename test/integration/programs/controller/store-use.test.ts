import {expect, test} from 'vitest'
import {checkpointAdmission} from '../../../../src/platform/addons/checkpoint/admission.ts'
import {API_VERSION} from '../../../../src/api/names.ts'
import type {KubeClient, KubeObject} from '../../../../src/kubernetes/types.ts'
import {waitFor} from '../../../../src/base/waiting.ts'
import {admissionFollowed} from '../../../support/admission-followed.ts'
import {NAMESPACES, STORE_USE_CASES} from '../../../support/store-use-cases.ts'
import {needBundle, serveCheckpoints, startApiServer} from '../../../support/with-api-server.ts'

const SPECS = {
  Checkpoint: {podRef: {name: 'web'}},
  Migration: {podName: 'web'},
  CheckpointPolicy: {selector: {}, migrateOnDrain: true},
  Runtime: {image: 'app:1'},
} as const

/** Namespaces in which an object of a kind that names the store is made. */
async function users(kube: KubeClient, kind: keyof typeof SPECS, store: string): Promise<readonly string[]> {
  const may: string[] = []
  for (const namespace of Object.keys(NAMESPACES)) {
    const object: KubeObject = {
      apiVersion: API_VERSION,
      kind,
      metadata: {name: 'asked', namespace},
      spec: {...SPECS[kind], storeName: store},
    }
    const problem = await kube.create(object).then(
      () => undefined,
      (error: unknown) => String(error),
    )
    if (problem === undefined) {
      may.push(namespace)
      await kube.delete({apiVersion: API_VERSION, kind, namespace, name: 'asked'})
    } else if (!problem.includes('the namespace may not use this store')) throw new Error(problem)
  }
  return may
}

test('what names a store is made where that may be used, and nowhere else', async (context) => {
  await using api = await startApiServer(await needBundle(context))
  const {kube} = api
  await serveCheckpoints(kube)
  for (const [name, labels] of Object.entries(NAMESPACES))
    await kube.apply([{apiVersion: 'v1', kind: 'Namespace', metadata: {name, labels}}])
  await kube.apply(checkpointAdmission())
  await admissionFollowed(kube)
  const definitive = async (store: string, may: readonly string[], kind: keyof typeof SPECS) =>
    waitFor({
      what: `${kind} with store ${store} to be for ${may.join()}`,
      check: async () => {
        const seen = (await users(kube, kind, store)).join()
        return {seen, ...(seen === may.join() ? {value: true} : {})}
      },
      timeoutMs: 30_000,
      intervalMs: 200,
      signal: new AbortController().signal,
    })
  for (const {store, allowed, may} of STORE_USE_CASES) {
    const spec = {node: {}, ...(allowed === undefined ? {} : {allowedNamespaces: allowed})}
    await kube.delete({apiVersion: API_VERSION, kind: 'CheckpointStore', name: store})
    await kube.create({apiVersion: API_VERSION, kind: 'CheckpointStore', metadata: {name: store}, spec})
    // What the API server knows of stores may be behind for a moment.
    await definitive(store, may, 'Checkpoint')
  }
  for (const kind of ['Migration', 'CheckpointPolicy', 'Runtime'] as const)
    await definitive('default', ['plain'], kind)
  // It is not the store that is changed: a policy stays what it is, and goes on to one that it may use.
  expect(await users(kube, 'Checkpoint', 'absent')).toEqual(Object.keys(NAMESPACES))
})
