import {Agent, request, type RequestOptions} from 'node:https'
import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {KubernetesError} from '../errors.ts'
import {describeRef, refOf} from './refs.ts'
import {
  kubeObjectSchema,
  type HttpAnswer,
  type KubeObject,
  type KubeOpener,
  type ListQuery,
  type ObjectRef,
  type OpenKube,
} from './types.ts'

const FIELD_MANAGER = 'clouder'
const REQUEST_TIMEOUT_MS = 30_000

const resourceListSchema = z.looseObject({
  resources: z.array(z.looseObject({name: z.string(), kind: z.string(), namespaced: z.boolean()})),
})
const listSchema = z.looseObject({items: z.array(z.looseObject({}))})
const statusSchema = z.looseObject({message: z.string().optional()})

interface Call {
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: string
  readonly contentType?: string
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number
}

/**
 * A client for one API server, authenticated by a kubeconfig.
 * `port` on this machine's loopback leads to the API server (an SSH tunnel), so that the kubeconfig's own address
 * need not be reachable from here; every kubeadm certificate carries the name `kubernetes`.
 * Throws KubernetesError API_UNREACHABLE from each call without an answer, API_REJECTED for a refused change.
 */
export const openKube: KubeOpener = async (options) => {
  // The package takes half a second to load; only commands that reach a cluster pay for it.
  const {KubeConfig} = await import('@kubernetes/client-node')
  const config = new KubeConfig()
  config.loadFromString(options.kubeconfig)
  const credentials: RequestOptions = {}
  await config.applyToHTTPSOptions(credentials)
  const {cert, key, ca} = credentials
  const agent = new Agent({
    keepAlive: true,
    maxSockets: 16,
    servername: 'kubernetes',
    ...definedOnly({cert, key, ca}),
  })
  const send = (call: Call): Promise<HttpAnswer> => sendCall(call, options, agent)
  return new HttpKube(send, () => agent.destroy())
}

function definedOnly<T extends object>(value: T): {[K in keyof T]?: Exclude<T[K], undefined>} {
  const entries = Object.entries(value).filter(([, item]) => item !== undefined)
  return Object.fromEntries(entries) as {[K in keyof T]?: Exclude<T[K], undefined>}
}

function sendCall(
  call: Call,
  options: {port: number; signal: AbortSignal},
  agent: Agent,
): Promise<HttpAnswer> {
  const limit = AbortSignal.timeout(call.timeoutMs ?? REQUEST_TIMEOUT_MS)
  const signal = AbortSignal.any([options.signal, limit, ...(call.signal ? [call.signal] : [])])
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      const stopped = options.signal.aborted || call.signal?.aborted === true
      reject(
        stopped
          ? error
          : new KubernetesError(
              'API_UNREACHABLE',
              `the API server did not answer ${call.method} ${call.path}: ${error.message}`,
              {
                cause: error,
              },
            ),
      )
    }
    const outgoing = request(
      {
        host: '127.0.0.1',
        port: options.port,
        agent,
        method: call.method,
        path: call.path,
        signal,
        headers: {
          accept: 'application/json',
          ...(call.body === undefined
            ? {}
            : {
                'content-type': call.contentType ?? 'application/json',
                'content-length': Buffer.byteLength(call.body),
              }),
        },
      },
      (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', fail)
        response.on('end', () => {
          resolve({status: response.statusCode ?? 0, body: Buffer.concat(chunks).toString('utf8')})
        })
      },
    )
    outgoing.on('error', fail)
    outgoing.end(call.body)
  })
}

class HttpKube implements OpenKube {
  readonly #send: (call: Call) => Promise<HttpAnswer>
  readonly #close: () => void
  readonly #discovered = new Map<
    string,
    Promise<Map<string, {plural: string; namespaced: boolean}> | undefined>
  >()

  constructor(send: (call: Call) => Promise<HttpAnswer>, close: () => void) {
    this.#send = send
    this.#close = close
  }

  close(): void {
    this.#close()
  }

  async get(ref: ObjectRef): Promise<KubeObject | undefined> {
    const path = await this.#pathOf(ref)
    if (path === undefined) return undefined
    const answer = await this.#send({method: 'GET', path})
    if (answer.status === 404) return undefined
    return kubeObjectSchema.parse(JSON.parse(accepted(answer, `read ${describeRef(ref)}`)))
  }

  async list(query: ListQuery): Promise<readonly KubeObject[]> {
    const base = await this.#collection(query)
    if (base === undefined) return []
    const selector =
      query.labelSelector === undefined ? '' : `?labelSelector=${encodeURIComponent(query.labelSelector)}`
    const answer = await this.#send({method: 'GET', path: base + selector})
    const {items} = listSchema.parse(JSON.parse(accepted(answer, `list ${query.kind}`)))
    return items.map((item) =>
      kubeObjectSchema.parse({apiVersion: query.apiVersion, kind: query.kind, ...item}),
    )
  }

  fetch(path: string, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#send({method: 'GET', path, signal, timeoutMs: 10_000})
  }

  post(path: string, body: string, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#send({method: 'POST', path, body, signal, timeoutMs: 300_000})
  }

  async diff(objects: readonly KubeObject[]): Promise<readonly ObjectRef[]> {
    const differing = await Promise.all(
      objects.map(async (object) => {
        const ref = refOf(object)
        const live = await this.get(ref)
        if (live === undefined) return ref
        const answer = await this.#applyCall(object, '&dryRun=All')
        if (answer === undefined || answer.status >= 400) return ref
        const after = kubeObjectSchema.parse(JSON.parse(answer.body))
        return isDeepStrictEqual(comparable(live), comparable(after)) ? undefined : ref
      }),
    )
    return differing.filter((ref) => ref !== undefined)
  }

  async apply(objects: readonly KubeObject[], signal?: AbortSignal): Promise<void> {
    for (const object of objects) {
      const answer = await this.#applyCall(object, '', signal)
      const what = `apply ${describeRef(refOf(object))}`
      if (answer === undefined) {
        throw new KubernetesError(
          'API_REJECTED',
          `cannot ${what}: the API server does not know ${object.apiVersion} ${object.kind}`,
        )
      }
      accepted(answer, what)
    }
  }

  async patch(ref: ObjectRef, patch: unknown): Promise<void> {
    const path = await this.#pathOf(ref)
    if (path === undefined)
      throw new KubernetesError('API_REJECTED', `the API server does not know ${ref.kind}`)
    const body = JSON.stringify(patch)
    const answer = await this.#send({
      method: 'PATCH',
      path,
      body,
      contentType: 'application/merge-patch+json',
    })
    accepted(answer, `patch ${describeRef(ref)}`)
  }

  async remove(ref: ObjectRef): Promise<void> {
    const path = await this.#pathOf(ref)
    if (path === undefined) return
    const answer = await this.#send({method: 'DELETE', path})
    if (answer.status !== 404) accepted(answer, `delete ${describeRef(ref)}`)
  }

  async #applyCall(object: KubeObject, query: string, signal?: AbortSignal): Promise<HttpAnswer | undefined> {
    const path = await this.#pathOf(refOf(object))
    if (path === undefined) return undefined
    return this.#send({
      method: 'PATCH',
      path: `${path}?fieldManager=${FIELD_MANAGER}&force=true${query}`,
      body: JSON.stringify(object),
      contentType: 'application/apply-patch+yaml',
      signal,
    })
  }

  async #pathOf(ref: ObjectRef): Promise<string | undefined> {
    const base = await this.#collection(ref)
    return base === undefined ? undefined : `${base}/${encodeURIComponent(ref.name)}`
  }

  async #collection(what: {
    apiVersion: string
    kind: string
    namespace?: string
  }): Promise<string | undefined> {
    const root = what.apiVersion.includes('/') ? `/apis/${what.apiVersion}` : `/api/${what.apiVersion}`
    const known = this.#discovered.get(root) ?? this.#discover(root)
    this.#discovered.set(root, known)
    const resource = (
      await known.catch((error: unknown) => {
        this.#discovered.delete(root)
        throw error
      })
    )?.get(what.kind)
    if (resource === undefined) {
      this.#discovered.delete(root)
      return undefined
    }
    const scope =
      resource.namespaced && what.namespace !== undefined
        ? `/namespaces/${encodeURIComponent(what.namespace)}`
        : ''
    return `${root}${scope}/${resource.plural}`
  }

  async #discover(root: string): Promise<Map<string, {plural: string; namespaced: boolean}> | undefined> {
    const answer = await this.#send({method: 'GET', path: root})
    if (answer.status === 404) return undefined
    const {resources} = resourceListSchema.parse(JSON.parse(accepted(answer, `read ${root}`)))
    const plain = resources.filter((resource) => !resource.name.includes('/'))
    return new Map(plain.map(({kind, name, namespaced}) => [kind, {plural: name, namespaced}]))
  }
}

function accepted(answer: HttpAnswer, what: string): string {
  if (answer.status >= 200 && answer.status < 300) return answer.body
  throw new KubernetesError('API_REJECTED', `cannot ${what}: ${answer.status} ${statusMessage(answer.body)}`)
}

function statusMessage(body: string): string {
  try {
    return statusSchema.parse(JSON.parse(body)).message ?? body.slice(0, 300)
  } catch {
    return body.slice(0, 300)
  }
}

/** An object without what the server alone writes, so that two of them compare by what was asked for. */
function comparable(object: KubeObject): unknown {
  const {status, metadata, ...rest} = object
  const {managedFields, resourceVersion, generation, ...kept} = metadata
  return {...rest, metadata: kept}
}
