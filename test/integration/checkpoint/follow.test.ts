import {setTimeout as delay} from 'node:timers/promises'
import {expect, test} from 'vitest'
import {kubeClient} from '../../../src/kubernetes/client.ts'
import type {KubeClient, KubeObject} from '../../../src/kubernetes/types.ts'
import {migrationSchema} from '../../../src/api/resources.ts'
import {createRuntime} from '../../../src/workflows/runtime/runtime.ts'
import {followMigration} from '../../../src/workflows/checkpoint/move.ts'
import {createObject, refTo} from '../../../src/workflows/checkpoint/objects.ts'
import type {RunEvent} from '../../../src/base/run-events.ts'
import {withApiFront} from '../../support/api-front.ts'
import {needBundle, serveCheckpoints, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

// As kubeadm gives its administrator his rights: by a role binding, which an API server that starts has not read yet.
const GROUP = 'kubeadm:cluster-admins'
const rbac = 'rbac.authorization.k8s.io'
const binding = {
  apiVersion: `${rbac}/v1`,
  kind: 'ClusterRoleBinding',
  metadata: {name: GROUP},
  roleRef: {apiGroup: rbac, kind: 'ClusterRole', name: 'cluster-admin'},
  subjects: [{kind: 'Group', name: GROUP, apiGroup: rbac}],
} as KubeObject
const namespace = 'default'
const migration = refTo('Migration', 'move', namespace)
const spec = {podName: 'web', nodeName: 'worker-2', storeName: 'local', owner: 'user'}

/** A cluster whose administrator has his rights by RBAC; `restart` ends its API server and starts it after some time. */
async function asAdministrator(
  api: ApiServer,
  use: (
    kube: KubeClient,
    tools: {readonly events: RunEvent[]; readonly signal: AbortSignal},
  ) => Promise<void>,
): Promise<void> {
  await serveCheckpoints(api.kube)
  await api.kube.apply([binding])
  await withApiFront(api, async (front, signal) => {
    front.headers = {'impersonate-user': 'kubernetes-admin', 'impersonate-group': GROUP}
    await use(kubeClient(front.transport), {events: [], signal})
  })
}

const toolsOf = ({events, signal}: {readonly events: RunEvent[]; readonly signal: AbortSignal}) => ({
  report: (event: RunEvent) => void events.push(event),
  now: Date.now,
  signal,
})
const textsOf = (events: readonly RunEvent[], type: 'note' | 'task-progress'): readonly string[] =>
  events.flatMap((event) => (event.type === type && 'text' in event ? [event.text] : []))

test('a move is followed through restarts of the API server', async (context) => {
  await using api = await startApiServer(await needBundle(context))
  await asAdministrator(api, async (kube, told) => {
    await createObject(kube, 'Migration', {name: 'move', namespace, spec}, told.signal)
    const phase = (status: object) => api.kube.patch(migration, {status}, {subresource: 'status'})
    await phase({phase: 'Checkpointing'})
    const followed = followMigration(kube, {namespace, name: 'move'}, toolsOf(told))
    void followed.catch(() => undefined)
    // Short ones are not worth a line.
    for (let round = 0; round < 3; round += 1) {
      await delay(300)
      await api.restart()
    }
    await api.stop()
    await delay(12_000)
    await api.restart()
    await expect.poll(() => textsOf(told.events, 'note').length, {timeout: 20_000}).toBe(2)
    await phase({phase: 'Moving'})
    await expect.poll(() => textsOf(told.events, 'task-progress').at(-1), {timeout: 20_000}).toBe('Moving')
    await phase({phase: 'Succeeded', sourceNodeName: 'worker-1', targetNodeName: 'worker-2'})
    expect(migrationSchema.parse(await followed).status?.phase).toBe('Succeeded')
    expect(textsOf(told.events, 'note')).toEqual([
      expect.stringMatching(/^waiting for the API server: /),
      'the API server responds again',
    ])
    expect(textsOf(told.events, 'task-progress')).toEqual(['Checkpointing', 'Moving'])
  })
})

test('a runtime is created and followed through restarts of the API server', async (context) => {
  await using api = await startApiServer(await needBundle(context))
  await asAdministrator(api, async (kube, told) => {
    // Its connections are broken, and then it refuses what it allowed before.
    await kube.list({apiVersion: 'v1', kind: 'Node'})
    const restarted = api.restart()
    const place = {namespace, name: 'notebook'}
    const input = {image: 'registry.example/notebook:1', state: 'Running'} as const
    const created = createRuntime(kube, place, input, {wait: true}, toolsOf(told))
    void created.catch(() => undefined)
    await restarted
    const ref = refTo('Runtime', place.name, namespace)
    await expect.poll(() => api.kube.get(ref), {timeout: 30_000}).toBeDefined()
    await api.restart()
    const status = {phase: 'Running', nodeName: 'worker-1', observedGeneration: 1}
    await api.kube.patch(ref, {status}, {subresource: 'status'})
    expect((await created).status?.phase).toBe('Running')
  })
})

test('what was deleted while it is followed is told, and what is absent for a moment is not', async (context) => {
  await using api = await startApiServer(await needBundle(context))
  await serveCheckpoints(api.kube)
  await withApiFront(api, async (front, signal) => {
    await createObject(api.kube, 'Migration', {name: 'move', namespace, spec}, signal)
    const followed = followMigration(
      kubeClient(front.transport),
      {namespace, name: 'move'},
      {
        report: () => undefined,
        now: Date.now,
        signal,
      },
    )
    let ended = false
    void followed.catch(() => (ended = true))
    await delay(300)
    const absent = {kind: 'Status', reason: 'NotFound', message: 'not found', code: 404}
    front.instead = (path, response) => {
      if (!path.endsWith('/move')) return false
      response.writeHead(404).end(JSON.stringify(absent))
      return true
    }
    await delay(300)
    front.instead = () => false
    await delay(1_500)
    expect(ended).toBe(false)
    await api.kube.delete(migration)
    await expect(followed).rejects.toMatchObject({
      code: 'MIGRATION_FAILED',
      message: 'Migration default/move was deleted while it was waited for',
    })
  })
})
