import {afterAll, expect, test, type TestContext} from 'vitest'
import {waitFor} from '../../../src/base/waiting.ts'
import {kubeClient} from '../../../src/kubernetes/client.ts'
import {reflect, type ReflectorTimes} from '../../../src/kubernetes/reflector.ts'
import type {KubeObject, WatchQuery} from '../../../src/kubernetes/types.ts'
import {withApiFront, type ApiFront} from '../../support/api-front.ts'
import {compact, deleteKey} from '../../support/etcd.ts'
import {needBundle, startApiServer, type ApiServer} from '../../support/with-api-server.ts'

let started: Promise<ApiServer> | undefined

/** One real API server for the tests of this file, which come one after the other. */
async function apiServer(context: TestContext): Promise<ApiServer> {
  const bundle = await needBundle(context)
  return (started ??= startApiServer(bundle))
}

afterAll(async () => {
  await (await started)?.[Symbol.asyncDispose]()
})

const configMap = (namespace: string, name: string, data: Record<string, string> = {}): KubeObject => ({
  apiVersion: 'v1',
  kind: 'ConfigMap',
  metadata: {name, namespace, labels: {test: 'reflector'}},
  data,
})
const refTo = (namespace: string, name: string) =>
  ({apiVersion: 'v1', kind: 'ConfigMap', namespace, name}) as const
/** Nothing waits for a minute here. */
const QUICK: Partial<ReflectorTimes> = {firstPauseMs: 20, mostPauseMs: 200, absentMs: 50, forbiddenMs: 100}

interface Scene {
  readonly api: ApiServer
  readonly front: ApiFront
  readonly namespace: string
  /** `ADDED a`, in order. */
  readonly told: string[]
  readonly objects: KubeObject[]
  readonly states: string[]
  readonly problems: string[]
  /** Reflects the config maps of the namespace with the label, through the front. */
  watch(options?: {times?: Partial<ReflectorTimes>; query?: Partial<WatchQuery>; fails?: boolean}): void
  /** Until this was told last. */
  until(...last: readonly string[]): Promise<void>
  /** Paths of watches and lists of the kind that were asked for. */
  asked(): readonly URLSearchParams[]
}

let scenes = 0

async function scene(context: TestContext, use: (at: Scene) => Promise<void>): Promise<void> {
  const api = await apiServer(context)
  const namespace = `reflector-${(scenes += 1)}`
  await api.kube.apply([{apiVersion: 'v1', kind: 'Namespace', metadata: {name: namespace}}])
  await withApiFront(api, async (front, over) => {
    const [told, objects, states, problems]: [string[], KubeObject[], string[], string[]] = [[], [], [], []]
    const ended: Promise<void>[] = []
    const stop = new AbortController()
    const signal = AbortSignal.any([over, stop.signal])
    const at: Scene = {
      ...{api, front, namespace, told, objects, states, problems},
      watch({times = {}, query = {}, fails = false} = {}) {
        const {apiVersion = 'v1', kind = 'ConfigMap'} = query
        const collection = `/namespaces/${namespace}/configmaps`
        ended.push(
          reflect({
            transport: front.transport,
            collection: () => Promise.resolve(`/api/v1${collection}`),
            query: {
              ...{apiVersion, kind, labelSelector: 'test=reflector'},
              onState: (state) => void states.push(state),
              onProblem: ({message}) => void problems.push(message),
              ...query,
            },
            onEvent: ({type, object}) => {
              told.push(`${type} ${object.metadata.name}`)
              objects.push(object)
              if (fails) throw new Error('the handler has failed')
            },
            signal,
            times: {...QUICK, ...times},
          }),
        )
      },
      until: (...last) => until(last.join(), () => told.slice(-last.length).join(), last.join()),
      asked: () =>
        front.asked
          .filter((path) => path.includes('/configmaps?'))
          .map((path) => new URLSearchParams(path.slice(path.indexOf('?')))),
    }
    try {
      await use(at)
    } finally {
      stop.abort()
      await Promise.all(ended)
    }
  })
}

const until = async (what: string, seen: () => string, wanted: string): Promise<void> => {
  await waitFor({
    what,
    check: () => Promise.resolve({seen: seen(), ...(seen() === wanted ? {value: true} : {})}),
    timeoutMs: 15_000,
    intervalMs: 10,
    signal: new AbortController().signal,
  })
}

async function makeMany(api: ApiServer, namespace: string, count: number): Promise<readonly string[]> {
  const names = Array.from({length: count}, (_, index) => `many-${String(index).padStart(4, '0')}`)
  for (let from = 0; from < count; from += 50)
    await Promise.all(names.slice(from, from + 50).map((name) => api.kube.create(configMap(namespace, name))))
  return names
}

test('what is there comes as the first events of a watch, where the server takes that', async (context) => {
  await scene(context, async (at) => {
    await at.api.kube.create(configMap(at.namespace, 'a'))
    at.watch()
    await at.until('ADDED a')
    await at.api.kube.create(configMap(at.namespace, 'b'))
    await at.until('ADDED a', 'ADDED b')
    expect(at.asked().map((query) => query.get('sendInitialEvents'))).toEqual(['true'])
    expect(at.states).toEqual(['syncing', 'live'])
    expect(at.objects.every(({metadata}) => metadata['managedFields'] === undefined)).toBe(true)
  })
})

test('what is there is listed page by page where the server does not take that', async (context) => {
  await scene(context, async (at) => {
    const names = await makeMany(at.api, at.namespace, 1_100)
    at.front.instead = (path, response) => {
      if (!path.includes('sendInitialEvents')) return false
      response.writeHead(422).end(JSON.stringify({kind: 'Status', reason: 'Invalid', message: 'forbidden'}))
      return true
    }
    at.watch()
    await at.until(`ADDED ${names.at(-1)}`)
    await at.api.kube.create(configMap(at.namespace, 'b'))
    await at.until('ADDED b')
    expect(at.told).toEqual([...names, 'b'].map((name) => `ADDED ${name}`))
    const [, ...asked] = at.asked()
    expect(asked.map((query) => query.get('limit'))).toEqual(['500', '500', '500', null])
    expect(at.problems).toEqual([])
    // What the client lists comes in pages too, and where these expire between two of them it begins again.
    const kube = kubeClient(at.front.transport)
    const query = {apiVersion: 'v1', kind: 'ConfigMap', namespace: at.namespace}
    expect(await kube.list({...query, labelSelector: 'test=reflector'})).toHaveLength(1_101)
    at.front.instead = (path, response) => {
      if (!path.includes('continue=')) return false
      response.writeHead(410).end(JSON.stringify({kind: 'Status', reason: 'Expired', code: 410}))
      return true
    }
    expect(await kube.list({...query, labelSelector: 'test=reflector'})).toHaveLength(1_101)
    expect(at.asked().at(-1)?.get('limit')).toBeNull()
  })
})

test('pages that a real server has forgotten are listed again', async (context) => {
  await scene(context, async (at) => {
    await makeMany(at.api, at.namespace, 600)
    const statuses: number[] = []
    at.front.onward = async (path) => {
      if (!path.includes('continue=')) return path
      await at.api.kube.create(configMap(at.namespace, 'late'))
      await compact(at.api.etcd)
      await at.api.restart()
      statuses.push((await at.api.kube.fetch(path)).status)
      return path
    }
    const kube = kubeClient(at.front.transport)
    const found = await kube.list({
      ...{apiVersion: 'v1', kind: 'ConfigMap', namespace: at.namespace},
      labelSelector: 'test=reflector',
    })
    expect(statuses).toEqual([410])
    expect(found).toHaveLength(601)
  })
})

test('a watch that the server ends goes on from its last bookmark, without a list', async (context) => {
  await scene(context, async (at) => {
    at.front.onward = (path) => path.replace(/timeoutSeconds=\d+/, 'timeoutSeconds=6')
    at.watch()
    await until('a first watch', () => at.states.join(), 'syncing,live')
    // Other kinds make versions grow of which this watch hears by bookmarks alone.
    for (let index = 0; index < 5; index += 1)
      await at.api.kube.apply([
        {
          apiVersion: 'v1',
          kind: 'Secret',
          metadata: {name: 's', namespace: at.namespace},
          stringData: {n: `${index}`},
        },
      ])
    // Reading the kind from the server as it is now lets its watches know how far they are.
    await at.api.kube.list({apiVersion: 'v1', kind: 'ConfigMap', namespace: at.namespace})
    await until('a second watch', () => String(at.asked().length >= 2), 'true')
    await at.api.kube.create(configMap(at.namespace, 'a'))
    await at.until('ADDED a')
    const [first, second] = at.asked()
    expect(first?.get('sendInitialEvents')).toBe('true')
    const secret = await at.api.kube.get({
      apiVersion: 'v1',
      kind: 'Secret',
      name: 's',
      namespace: at.namespace,
    })
    expect(Number(second?.get('resourceVersion'))).toBeGreaterThanOrEqual(
      Number(secret?.metadata.resourceVersion),
    )
    expect(at.states).toEqual(['syncing', 'live'])
    expect(at.problems).toEqual([])
  })
})

test('what the server has forgotten is listed again: what is gone is told, and nothing twice', async (context) => {
  await scene(context, async (at) => {
    const {kube, etcd} = at.api
    for (const name of ['gone', 'same', 'changed']) await kube.create(configMap(at.namespace, name))
    at.watch()
    await at.until('ADDED changed', 'ADDED gone', 'ADDED same')
    let isAway = true
    at.front.instead = (_, response) => {
      if (isAway) response.writeHead(503).end()
      return isAway
    }
    at.front.cut()
    await kube.delete(refTo(at.namespace, 'gone'))
    await kube.patch(refTo(at.namespace, 'changed'), {data: {n: '1'}})
    await kube.create(configMap(at.namespace, 'new'))
    await compact(etcd)
    // Its cache begins anew, so that it knows no more than etcd does.
    await at.api.restart()
    isAway = false
    await at.until('DELETED gone', 'MODIFIED changed', 'ADDED new')
    expect(at.told).toHaveLength(6)
    expect(at.problems.some((problem) => problem.includes('410'))).toBe(true)
    expect(at.states.slice(0, 3)).toEqual(['syncing', 'live', 'stale'])
    expect(at.states.at(-1)).toBe('live')
  })
})

test('an ERROR event ends the connection: 410 lists again, any other goes on', async (context) => {
  await scene(context, async (at) => {
    const {kube} = at.api
    let code = 500
    at.front.line = (line) => {
      if (!line.includes('trigger') || code === 0) return line
      const error = {type: 'ERROR', object: {kind: 'Status', code, message: 'injected'}}
      return JSON.stringify(error)
    }
    at.watch()
    await until('a watch', () => at.states.join(), 'syncing,live')
    await kube.create(configMap(at.namespace, 'trigger'))
    await until('an error', () => String(at.problems.length > 0), 'true')
    code = 410
    await until(
      'a list',
      () => String(at.asked().filter((query) => query.has('sendInitialEvents')).length),
      '2',
    )
    code = 0
    await at.until('ADDED trigger')
    expect(at.told).toEqual(['ADDED trigger'])
    expect(at.problems[0]).toContain('500 injected')
  })
})

test('a connection of which nothing is heard is given up, and gone on with', async (context) => {
  await scene(context, async (at) => {
    at.watch({times: {idleMs: 1_500}})
    await until('a watch', () => at.states.join(), 'syncing,live')
    at.front.freeze()
    await at.api.kube.create(configMap(at.namespace, 'unheard'))
    await at.until('ADDED unheard')
    expect(at.problems[0]).toContain('received nothing for')
    expect(at.asked().filter((query) => query.has('sendInitialEvents'))).toHaveLength(1)
    expect(at.states.slice(0, 4)).toEqual(['syncing', 'live', 'stale', 'live'])
  })
})

test.for([429, 503] as const)(
  'a server that answers %i is asked again when it says',
  async (status, context) => {
    await scene(context, async (at) => {
      await at.api.kube.create(configMap(at.namespace, 'a'))
      const askedAtMs: number[] = []
      at.front.instead = (_, response) => {
        askedAtMs.push(performance.now())
        if (askedAtMs.length > 2) return false
        response
          .writeHead(status, {'retry-after': '1'})
          .end(JSON.stringify({kind: 'Status', message: 'busy'}))
        return true
      }
      at.watch()
      await at.until('ADDED a')
      const [first = 0, second = 0, third = 0] = askedAtMs
      expect(Math.min(second - first, third - second)).toBeGreaterThan(990)
      expect(at.states).toEqual(['syncing', 'live'])
    })
  },
)

const definition = (group: string): KubeObject => ({
  apiVersion: 'apiextensions.k8s.io/v1',
  kind: 'CustomResourceDefinition',
  metadata: {name: `things.${group}`},
  spec: {
    group,
    scope: 'Cluster',
    names: {plural: 'things', singular: 'thing', kind: 'Thing', listKind: 'ThingList'},
    versions: [
      {
        name: 'v1',
        served: true,
        storage: true,
        schema: {openAPIV3Schema: {type: 'object', 'x-kubernetes-preserve-unknown-fields': true}},
      },
    ],
  },
})

test('a kind that is not served is waited for, and its end is told', async (context) => {
  const {kube} = await apiServer(context)
  const over = new AbortController()
  const [told, states]: [string[], string[]] = [[], []]
  const apiVersion = 'reflector.example.com/v1'
  const watching = kube.watch(
    {apiVersion, kind: 'Thing', onState: (state) => void states.push(state)},
    ({type, object}) => void told.push(`${type} ${object.metadata.name}`),
    over.signal,
  )
  await until('the kind to be absent', () => states.at(-1) ?? '', 'absent')
  expect(await kube.list({apiVersion, kind: 'Thing'})).toEqual([])
  const object = definition('reflector.example.com')
  await kube.apply([object])
  await until('the kind to be there', () => states.at(-1) ?? '', 'live')
  await kube.create({apiVersion, kind: 'Thing', metadata: {name: 'a'}})
  await until('the object', () => told.join(), 'ADDED a')
  await kube.delete({apiVersion: object.apiVersion, kind: object.kind, name: object.metadata.name})
  await until('its end', () => told.join(), 'ADDED a,DELETED a')
  await until('the end of the kind', () => states.at(-1) ?? '', 'absent')
  expect(await kube.list({apiVersion, kind: 'Thing'})).toEqual([])
  over.abort()
  await watching
})

test('who may not read is told so, and reads once he may', async (context) => {
  await scene(context, async (at) => {
    const {namespace} = at
    const {kube} = at.api
    await kube.create(configMap(namespace, 'a'))
    at.front.headers = {'impersonate-user': 'reader'}
    at.watch()
    await until('to be forbidden', () => at.states.join(), 'syncing,forbidden')
    const apiGroup = 'rbac.authorization.k8s.io'
    await kube.apply([
      {
        apiVersion: `${apiGroup}/v1`,
        kind: 'Role',
        metadata: {name: 'reader', namespace},
        rules: [{apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list', 'watch']}],
      },
      {
        apiVersion: `${apiGroup}/v1`,
        kind: 'RoleBinding',
        metadata: {name: 'reader', namespace},
        roleRef: {apiGroup, kind: 'Role', name: 'reader'},
        subjects: [{apiGroup, kind: 'User', name: 'reader'}],
      },
    ])
    await at.until('ADDED a')
    expect(at.states).toEqual(['syncing', 'forbidden', 'live'])
  })
})

test('a handler that fails ends nothing', async (context) => {
  await scene(context, async (at) => {
    await at.api.kube.create(configMap(at.namespace, 'a'))
    at.watch({fails: true})
    await at.until('ADDED a')
    await at.api.kube.create(configMap(at.namespace, 'b'))
    await at.until('ADDED a', 'ADDED b')
    expect(at.problems).toHaveLength(2)
    expect(at.problems[0]).toContain('the handler has failed')
    expect(at.states).toEqual(['syncing', 'live'])
  })
})

test('an object that cannot be read is reported and left out', async (context) => {
  await scene(context, async (at) => {
    for (const name of ['a', 'odd', 'z']) await at.api.kube.create(configMap(at.namespace, name))
    at.front.line = (line) =>
      line.includes('"name":"odd"') ? line.replace('"test":"reflector"', '"test":7') : line
    at.watch()
    await at.until('ADDED a', 'ADDED z')
    await at.api.kube.patch(refTo(at.namespace, 'odd'), {data: {n: '1'}})
    await at.api.kube.create(configMap(at.namespace, 'b'))
    await at.until('ADDED a', 'ADDED z', 'ADDED b')
    expect(at.problems).toHaveLength(2)
    expect(at.problems[0]).toContain('odd')
    expect(at.states).toEqual(['syncing', 'live'])
  })
})

test('objects that are deleted while the API server is away do not come back', async (context) => {
  await scene(context, async (at) => {
    const {api, namespace} = at
    for (const name of ['a', 'b', 'c']) await api.kube.create(configMap(namespace, name))
    at.watch()
    await at.until('ADDED a', 'ADDED b', 'ADDED c')
    await api.stop()
    await deleteKey(api.etcd, `/registry/configmaps/${namespace}/b`)
    await api.restart()
    await api.kube.delete(refTo(namespace, 'c'))
    await at.until('DELETED b', 'DELETED c')
    await api.kube.create(configMap(namespace, 'd'))
    await at.until('DELETED b', 'DELETED c', 'ADDED d')
    expect(at.told).toHaveLength(6)
  })
})

test('what was told already is not told again, whatever is sent anew', async (context) => {
  await scene(context, async (at) => {
    const {kube} = at.api
    at.watch()
    await until('a watch', () => at.states.join(), 'syncing,live')
    const begin = (await kube.create(configMap(at.namespace, 'first')))?.metadata.resourceVersion ?? ''
    await kube.create(configMap(at.namespace, 'a'))
    await kube.delete(refTo(at.namespace, 'a'))
    await at.until('ADDED first', 'ADDED a', 'DELETED a')
    // A server behind this one sends all of it anew.
    at.front.onward = (path) => path.replace(/resourceVersion=\d+/, `resourceVersion=${begin}`)
    at.front.cut()
    await kube.create(configMap(at.namespace, 'b'))
    await at.until('ADDED first', 'ADDED a', 'DELETED a', 'ADDED b')
    expect(at.told).toHaveLength(4)
  })
})

test('an object that was made anew under its name is another one', async (context) => {
  await scene(context, async (at) => {
    const {kube} = at.api
    await kube.create(configMap(at.namespace, 'a'))
    at.watch()
    await at.until('ADDED a')
    let isAway = true
    at.front.instead = (path, response) => {
      if (isAway) response.writeHead(410).end(JSON.stringify({kind: 'Status', reason: 'Expired'}))
      return isAway
    }
    at.front.cut()
    await kube.delete(refTo(at.namespace, 'a'))
    await kube.create(configMap(at.namespace, 'a'))
    await until('the refusal', () => String(at.problems.some((problem) => problem.includes('410'))), 'true')
    isAway = false
    await at.until('ADDED a', 'DELETED a', 'ADDED a')
    const [before, gone, after] = at.objects.map(({metadata}) => metadata.uid)
    expect(gone).toBe(before)
    expect(after).not.toBe(before)
  })
})
