import type {HttpClient} from '../../src/infrastructure/clouds/azure/api.ts'

export const SUBSCRIPTION = '11111111-2222-3333-4444-555555555555'

export interface ArmResource {
  readonly id: string
  readonly type: string
  readonly name: string
  readonly location: string
  readonly tags?: Readonly<Record<string, string>>
  readonly sku?: {readonly name: string}
}

export interface FakeArmOptions {
  /** Ids, in lower case, that cannot go while another is there. */
  readonly heldBy?: Readonly<Record<string, string>>
}

/** What of Azure's Resource Manager is asked here, in memory: for the adapter's own behaviour, never for what Azure is like. */
export interface FakeArm {
  /** Answers the SDK's clients in the network's place. */
  readonly httpClient: HttpClient
  readonly groups: Map<string, Readonly<Record<string, string>>>
  readonly resources: Map<string, ArmResource>
  /** Answers by `METHOD path` in lower case without the query, before anything else is looked at. */
  readonly answers: Map<string, {readonly status: number; readonly body: unknown}>
  /** Ids of removed things, in order. */
  readonly removed: string[]
}

interface Answer {
  readonly status: number
  readonly body?: unknown
}

export function fakeArm(options: FakeArmOptions = {}): FakeArm {
  const state = {
    groups: new Map<string, Readonly<Record<string, string>>>(),
    resources: new Map<string, ArmResource>(),
    answers: new Map<string, {readonly status: number; readonly body: unknown}>(),
    removed: [] as string[],
  }
  const httpClient: HttpClient = {
    sendRequest: (request) => {
      const {status, body} = answerTo(request, state, options)
      const headers = new Headers({'content-type': 'application/json'})
      return Promise.resolve({
        request,
        status,
        headers: sdkHeaders(headers),
        bodyAsText: JSON.stringify(body ?? {}),
      })
    },
  }
  return {httpClient, ...state}
}

/** Headers as the SDK wants them. */
const sdkHeaders = (headers: Headers): Awaited<ReturnType<HttpClient['sendRequest']>>['headers'] => ({
  get: (name) => headers.get(name) ?? undefined,
  has: (name) => headers.has(name),
  set: (name, value) => headers.set(name, String(value)),
  delete: (name) => headers.delete(name),
  toJSON: () => Object.fromEntries(headers),
  [Symbol.iterator]: () => headers.entries(),
})

type State = Pick<FakeArm, 'groups' | 'resources' | 'answers' | 'removed'>

function answerTo(
  request: Parameters<HttpClient['sendRequest']>[0],
  state: State,
  options: FakeArmOptions,
): Answer {
  const url = new URL(request.url)
  const path = decodeURIComponent(url.pathname)
  const {method} = request
  const given = state.answers.get(`${method} ${path}`.toLowerCase())
  if (given !== undefined) return given
  const root = `/subscriptions/${SUBSCRIPTION}`
  const filter = url.searchParams.get('$filter') ?? ''
  if (method === 'DELETE') return removal(path, state, options)
  if (path.toLowerCase() === `${root}/resourcegroups`) {
    const value = [...state.groups].map(([name, tags]) => ({
      id: `${root}/resourceGroups/${name}`,
      name,
      location: 'westeurope',
      tags,
    }))
    return {status: 200, body: {value: value.filter(({tags}) => fits(tags, filter))}}
  }
  const [, group] = /\/resourceGroups\/([^/]+)\/resources$/i.exec(path) ?? []
  if (group !== undefined || path === `${root}/resources`) {
    const inGroup = `/resourcegroups/${group ?? ''}/`.toLowerCase()
    const value = [...state.resources.values()].filter(
      ({id, tags}) => (group === undefined || id.toLowerCase().includes(inGroup)) && fits(tags ?? {}, filter),
    )
    return {status: 200, body: {value}}
  }
  const [, namespace] = /\/providers\/([^/]+)$/.exec(path) ?? []
  if (namespace !== undefined) {
    const types = [...state.resources.values()].map(({type}) => type.split('/')[1] ?? '')
    const apiVersions = ['2023-01-01', '2025-01-01-preview', '2024-07-01']
    return {
      status: 200,
      body: {namespace, resourceTypes: types.map((resourceType) => ({resourceType, apiVersions}))},
    }
  }
  return {status: 404, body: {error: {code: 'NotFound', message: `nothing at ${path}`}}}
}

function removal(path: string, {groups, resources, removed}: State, {heldBy = {}}: FakeArmOptions): Answer {
  const key = path.toLowerCase()
  const [, group] = /\/resourcegroups\/([^/]+)$/i.exec(path) ?? []
  if (group !== undefined) {
    groups.delete(group)
    for (const id of resources.keys()) if (id.startsWith(`${key}/`)) resources.delete(id)
  } else {
    const holder = heldBy[key]
    if (holder !== undefined && resources.has(holder))
      return {status: 409, body: {error: {code: 'InUse', message: `${path} is in use`}}}
    if (!resources.delete(key))
      return {status: 404, body: {error: {code: 'ResourceNotFound', message: 'gone'}}}
  }
  removed.push(key)
  return {status: 200}
}

/** `tagName eq 'a' and tagValue eq 'b'`, all that is asked here. */
function fits(tags: Readonly<Record<string, string>>, filter: string): boolean {
  const [, name, , value] = /^tagName eq '([^']+)'( and tagValue eq '([^']*)')?$/.exec(filter) ?? []
  if (name === undefined) return true
  return value === undefined ? tags[name] !== undefined : tags[name] === value
}
