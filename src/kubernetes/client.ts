import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {KubernetesError} from '../base/errors.ts'
import {accepted, apiError, statusOf} from './answers.ts'
import {currentCredentials, currentServer} from './kubeconfig.ts'
import {describeRef, refOf} from './refs.ts'
import {sendRepeatedly} from './repeat.ts'
import {openTransport, type Call, type Transport} from './transport.ts'
import {
  kubeObjectSchema,
  type HttpAnswer,
  type KubeObject,
  type KubeOpener,
  type ListQuery,
  type ObjectRef,
  type OpenKubeClient,
  type WatchEvent,
  type WatchQuery,
} from './types.ts'
import {watchCollection} from './watch.ts'

const FIELD_MANAGER = 'clouder'

const resourceListSchema = z.looseObject({
  resources: z.array(z.looseObject({name: z.string(), kind: z.string(), namespaced: z.boolean()})),
})
const listSchema = z.looseObject({items: z.array(z.looseObject({}))})

/**
 * A client for one API server, authenticated by a kubeconfig.
 * `port` on this machine's loopback leads to the API server (an SSH tunnel), so that the kubeconfig's own address
 * need not be reachable from here; without it that address is used.
 * Throws StateError RECORD_INVALID, KUBECONFIG_UNSUPPORTED; from each call KubernetesError as KubeReader says.
 */
export const openKube: KubeOpener = ({kubeconfig, port, signal}) => {
  const place = port === undefined ? currentServer(kubeconfig) : {host: '127.0.0.1', port}
  const server = {...place, ...currentCredentials(kubeconfig)}
  return Promise.resolve(kubeClient(openTransport(server, signal)))
}

/** The API of a server that a transport leads to. */
export const kubeClient = (transport: Transport): OpenKubeClient => new HttpKube(transport)

class HttpKube implements OpenKubeClient {
  readonly #transport: Transport
  readonly #discovered = new Map<
    string,
    Promise<Map<string, {plural: string; namespaced: boolean}> | undefined>
  >()

  constructor(transport: Transport) {
    this.#transport = transport
  }

  close(): void {
    this.#transport.close()
  }

  #send(call: Call): Promise<HttpAnswer> {
    return sendRepeatedly(this.#transport, call)
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
    return this.#transport.send({method: 'GET', path, signal, timeoutMs: 10_000})
  }

  post(path: string, body: string, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#transport.send({method: 'POST', path, body, signal, timeoutMs: 300_000})
  }

  async diff(objects: readonly KubeObject[]): Promise<readonly ObjectRef[]> {
    const differing = await Promise.all(
      objects.map(async (object) => {
        const ref = refOf(object)
        const live = await this.get(ref)
        if (live === undefined) return ref
        const answer = await this.#applyCall(object, '&dryRun=All')
        if (answer === undefined) return ref
        if (answer.status >= 400) {
          const error = apiError(answer, `compare ${describeRef(ref)}`)
          if (error.isTransient) throw error
          return ref
        }
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
      if (answer === undefined) throw unknownKind(object, what)
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

  remove(ref: ObjectRef): Promise<void> {
    return this.delete(ref)
  }

  async delete(
    ref: ObjectRef,
    options: {readonly graceSeconds?: number; readonly uid?: string} = {},
  ): Promise<void> {
    const path = await this.#pathOf(ref)
    if (path === undefined) return
    const {graceSeconds, uid} = options
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: 'Background',
      ...(graceSeconds === undefined ? {} : {gracePeriodSeconds: graceSeconds}),
      ...(uid === undefined ? {} : {preconditions: {uid}}),
    }
    const answer = await this.#send({method: 'DELETE', path, body: JSON.stringify(body)})
    // 409: another one has the name by now; the one that was meant is gone.
    const gone = answer.status === 404 || (answer.status === 409 && uid !== undefined)
    if (!gone) accepted(answer, `delete ${describeRef(ref)}`)
  }

  async create(
    object: KubeObject,
    {dryRun = false}: {readonly dryRun?: boolean} = {},
  ): Promise<KubeObject | undefined> {
    const ref = refOf(object)
    const path = await this.#collection(ref)
    const what = `create ${describeRef(ref)}`
    if (path === undefined) throw unknownKind(object, what)
    const query = dryRun ? '?dryRun=All' : ''
    const answer = await this.#send({method: 'POST', path: `${path}${query}`, body: JSON.stringify(object)})
    if (answer.status === 409 && statusOf(answer.body)?.reason === 'AlreadyExists') return undefined
    return kubeObjectSchema.parse(JSON.parse(accepted(answer, what)))
  }

  async replace(object: KubeObject): Promise<KubeObject | undefined> {
    const ref = refOf(object)
    const path = await this.#pathOf(ref)
    const what = `replace ${describeRef(ref)}`
    if (path === undefined) throw unknownKind(object, what)
    const answer = await this.#send({method: 'PUT', path, body: JSON.stringify(object)})
    return changed(answer, what)
  }

  async patchStatus(
    ref: ObjectRef,
    status: unknown,
    {
      resourceVersion,
      subresource = 'status',
    }: {readonly resourceVersion?: string; readonly subresource?: 'status' | 'approval'} = {},
  ): Promise<KubeObject | undefined> {
    const path = await this.#pathOf(ref)
    const what = `write the ${subresource} of ${describeRef(ref)}`
    if (path === undefined) throw unknownKind(ref, what)
    const lock = resourceVersion === undefined ? {} : {metadata: {resourceVersion}}
    const answer = await this.#send({
      method: 'PATCH',
      path: `${path}/${subresource}`,
      body: JSON.stringify({...lock, status}),
      contentType: 'application/merge-patch+json',
    })
    return changed(answer, what)
  }

  watch(query: WatchQuery, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    const collection = (): Promise<string | undefined> => this.#collection(query)
    return watchCollection({transport: this.#transport, collection, query, onEvent, signal})
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

/** What a change made; undefined: somebody was quicker, or there is nothing to change. */
function changed(answer: HttpAnswer, what: string): KubeObject | undefined {
  if (answer.status === 404 || answer.status === 409) return undefined
  return kubeObjectSchema.parse(JSON.parse(accepted(answer, what)))
}

const unknownKind = (object: {apiVersion: string; kind: string}, what: string): KubernetesError =>
  new KubernetesError(
    'API_REJECTED',
    `cannot ${what}: the API server does not know ${object.apiVersion} ${object.kind}`,
  )

/** An object without what the server alone writes, so that two of them compare by what was asked for. */
function comparable(object: KubeObject): unknown {
  const {status, metadata, ...rest} = object
  const {managedFields, resourceVersion, generation, ...kept} = metadata
  return {...rest, metadata: kept}
}
