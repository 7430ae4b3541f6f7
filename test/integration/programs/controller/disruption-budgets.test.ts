import {expect, test} from 'vitest'
import {z} from 'zod'
import {API_VERSION} from '../../../../src/api/names.ts'
import type {KubeClient, KubeObject} from '../../../../src/kubernetes/types.ts'
import {needBundle, serveCheckpoints, startApiServer} from '../../../support/with-api-server.ts'
import {RUNNING_STATUS} from '../../../support/running-status.ts'

const NAMESPACE = 'default'
const labels = {app: 'web'}
const meta = (name: string) => ({name, namespace: NAMESPACE})
const SOON = {timeout: 60_000, interval: 500}
const podSpec = {containers: [{name: 'main', image: 'example.com/app:1'}]}

const budgetSchema = z.looseObject({
  status: z
    .looseObject({
      observedGeneration: z.int().optional(),
      expectedPods: z.int().optional(),
      disruptionsAllowed: z.int().optional(),
      currentHealthy: z.int().optional(),
      conditions: z.array(z.looseObject({reason: z.string()})).default([]),
    })
    .default({conditions: []}),
})

const ref = (apiVersion: string, kind: string, name: string) => ({
  apiVersion,
  kind,
  namespace: NAMESPACE,
  name,
})

async function budget(kube: KubeClient): Promise<object> {
  const {status} = budgetSchema.parse(await kube.get(ref('policy/v1', 'PodDisruptionBudget', 'web')))
  const {expectedPods, disruptionsAllowed, currentHealthy, conditions} = status
  return {expectedPods, disruptionsAllowed, currentHealthy, reasons: conditions.map(({reason}) => reason)}
}

const podsOf = async (kube: KubeClient): Promise<readonly KubeObject[]> =>
  kube.list({apiVersion: 'v1', kind: 'Pod', namespace: NAMESPACE})

test('a budget in percent still counts the pods of a ReplicaSet while one of them is moved', async (context) => {
  await using api = await startApiServer(await needBundle(context), {controllerManager: true})
  const {kube} = api
  await serveCheckpoints(kube)
  await kube.create({
    ...{apiVersion: 'apps/v1', kind: 'ReplicaSet', metadata: meta('web')},
    spec: {replicas: 4, selector: {matchLabels: labels}, template: {metadata: {labels}, spec: podSpec}},
  })
  await kube.create({
    ...{apiVersion: 'policy/v1', kind: 'PodDisruptionBudget', metadata: meta('web')},
    spec: {minAvailable: '50%', selector: {matchLabels: labels}},
  })
  await expect.poll(async () => (await podsOf(kube)).length, SOON).toBe(4)
  for (const {metadata} of await podsOf(kube))
    await kube.patch(ref('v1', 'Pod', metadata.name), {status: RUNNING_STATUS}, {subresource: 'status'})
  const counted = {expectedPods: 4, currentHealthy: 4, disruptionsAllowed: 2, reasons: ['SufficientPods']}
  await expect.poll(() => budget(kube), SOON).toEqual(counted)

  const move = await kube.create({
    ...{apiVersion: API_VERSION, kind: 'Migration', metadata: meta('move')},
    spec: {podName: 'web-1'},
  })
  const uid = move?.metadata.uid
  await kube.create({
    ...{apiVersion: 'v1', kind: 'Pod'},
    metadata: {
      ...{...meta('web-new'), labels},
      ownerReferences: [{apiVersion: API_VERSION, kind: 'Migration', name: 'move', uid, controller: true}],
    },
    spec: podSpec,
  })
  await kube.patch(ref('v1', 'Pod', 'web-new'), {status: RUNNING_STATUS}, {subresource: 'status'})
  // A controller manager hears of new kinds every 30 s, and looks at a budget again when it changes.
  const looks = {count: 0}
  await expect
    .poll(async () => {
      const annotations = {look: String((looks.count += 1))}
      await kube.patch(ref('policy/v1', 'PodDisruptionBudget', 'web'), {metadata: {annotations}})
      return budget(kube)
    }, SOON)
    .toEqual({...counted, currentHealthy: 5, disruptionsAllowed: 3})
})
