import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {KubernetesError} from './errors.ts'
import {accepted, apiError, statusOf} from './answers.ts'
import {ConflictError} from './conflict.ts'
import {currentCredentials, currentServer} from './kubeconfig.ts'
import {comparable, mergedWith} from './comparable.ts'
import {listAll, withKind} from './list.ts'
import {Refusals} from './refusals.ts'
import {missingRule} from './permissions.ts'
import {reflect} from './reflector.ts'
import {describeRef, refOf} from './refs.ts'
import {sendRepeatedly} from './repeat.ts'
import {openTransport, type Call, type Transport} from './transport.ts'
import {
  kubeObjectSchema,
  type DeleteOptions,
  type HttpAnswer,
  type KubeClient,
  type KubeObject,
  type KubeOpener,
  type ListQuery,
  type ObjectRef,
  type PatchOptions,
  type PolicyRule,
  type WatchEvent,
  type WatchQuery,
} from './types.ts'

const FIELD_MANAGER = 'clouder'

interface ApplyCall {
  readonly fieldManager?: string
  readonly dryRun?: boolean
  readonly signal?: AbortSignal | undefined
}

interface Resource {
  readonly plural: string
  readonly namespaced: boolean
}

/** What every API server serves is not asked for: a command that reads a pod and a node would first read two long lists. */
const ALWAYS_SERVED: ReadonlyMap<string, Resource> = new Map([
  ['/api/v1 Namespace', {plural: 'namespaces', namespaced: false}],
  ['/api/v1 Node', {plural: 'nodes', namespaced: false}],
  ['/api/v1 Pod', {plural: 'pods', namespaced: true}],
  ['/apis/apps/v1 DaemonSet', {plural: 'daemonsets', namespaced: true}],
])

const resourceListSchema = z.looseObject({
  resources: z.array(z.looseObject({name: z.string(), kind: z.string(), namespaced: z.boolean()})),
})

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
export const kubeClient = (transport: Transport): KubeClient => new HttpKube(transport)

class HttpKube implements KubeClient {
  readonly #transport: Transport
  readonly #refusals: Refusals
  readonly #discovered = new Map<string, Promise<Map<string, Resource> | undefined>>()

  constructor(transport: Transport) {
    this.#transport = transport
    this.#refusals = new Refusals(transport)
  }

  close(): void {
    this.#transport.close()
  }

  #send(call: Call): Promise<HttpAnswer> {
    return sendRepeatedly(this.#transport, call, this.#refusals)
  }

  async get(ref: ObjectRef): Promise<KubeObject | undefined> {
    const path = await this.#pathOf(ref)
    if (path === undefined) return undefined
    const answer = await this.#send({method: 'GET', path})
    if (answer.status === 404) return undefined
    return kubeObjectSchema.parse(JSON.parse(accepted(answer, `read ${describeRef(ref)}`)))
  }

  async list(query: ListQuery): Promise<readonly KubeObject[]> {
    const path = await this.#collection(query)
    if (path === undefined) return []
    try {
      const {items} = await listAll({path, query, send: (call) => this.#send(call)})
      return items.map((item) => withKind(item, query))
    } catch (error) {
      if (!(error instanceof KubernetesError) || error.answer?.status !== 404) throw error
      // The kind is not served any more.
      this.#discovered.delete(rootOf(query))
      return []
    }
  }

  fetch(path: string, signal?: AbortSignal): Promise<HttpAnswer> {
    return this.#transport.send({method: 'GET', path, signal, timeoutMs: 10_000})
  }

  async post(path: string, body: string, signal?: AbortSignal): Promise<HttpAnswer> {
    const answer = await this.#transport.send({method: 'POST', path, body, signal, timeoutMs: 300_000})
    return this.#refusals.judge(answer)
  }

  async diff(objects: readonly KubeObject[]): Promise<readonly ObjectRef[]> {
    const differing = await Promise.all(
      objects.map(async (object) => {
        const ref = refOf(object)
        const live = await this.get(ref)
        if (live === undefined) return ref
        const answer = await this.#applyCall(object, {dryRun: true})
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
    for (const object of objects) await this.applyAs(FIELD_MANAGER, object, signal)
  }

  applyAs(fieldManager: string, object: KubeObject, signal?: AbortSignal): Promise<KubeObject> {
    return this.#applied(object, {fieldManager, signal})
  }

  dryRun(object: KubeObject, fieldManager: string): Promise<KubeObject> {
    return this.#applied(object, {fieldManager, dryRun: true})
  }

  async missingRule(verbs: readonly string[], ref: ObjectRef): Promise<PolicyRule | undefined> {
    const path = await this.#collection(ref)
    if (path === undefined) return undefined
    return missingRule({path, verbs, ref, post: (to, body) => this.post(to, body)})
  }

  async patch(ref: ObjectRef, patch: object, options: PatchOptions = {}): Promise<KubeObject> {
    const {resourceVersion, subresource} = options
    const path = await this.#pathOf(ref)
    const what = `patch ${subresource === undefined ? '' : `the ${subresource} of `}${describeRef(ref)}`
    if (path === undefined) throw unknownKind(ref, what)
    const answer = await this.#send({
      method: 'PATCH',
      path: subresource === undefined ? path : `${path}/${subresource}`,
      body: JSON.stringify(resourceVersion === undefined ? patch : mergedWith(patch, resourceVersion)),
      contentType: 'application/merge-patch+json',
    })
    return written(answer, what, resourceVersion)
  }

  async delete(ref: ObjectRef, options: DeleteOptions = {}): Promise<void> {
    const path = await this.#pathOf(ref)
    if (path === undefined) return
    const {graceSeconds, uid, resourceVersion, propagation = 'Background'} = options
    const body = {
      apiVersion: 'v1',
      kind: 'DeleteOptions',
      propagationPolicy: propagation,
      gracePeriodSeconds: graceSeconds,
      preconditions: {uid, resourceVersion},
    }
    const answer = await this.#send({method: 'DELETE', path, body: JSON.stringify(body)})
    // 409: another one has the name by now; the one that was meant is gone.
    const isAnother = answer.status === 409 && uid !== undefined && resourceVersion === undefined
    if (answer.status !== 404 && !isAnother) accepted(answer, `delete ${describeRef(ref)}`)
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

  async update(object: KubeObject): Promise<KubeObject> {
    const ref = refOf(object)
    const path = await this.#pathOf(ref)
    const what = `update ${describeRef(ref)}`
    if (path === undefined) throw unknownKind(object, what)
    const answer = await this.#send({method: 'PUT', path, body: JSON.stringify(object)})
    return written(answer, what, object.metadata.resourceVersion)
  }

  watch(query: WatchQuery, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    const collection = (afresh: boolean): Promise<string | undefined> => {
      if (afresh) this.#discovered.delete(rootOf(query))
      return this.#collection(query)
    }
    return reflect({transport: this.#transport, collection, query, onEvent, signal})
  }

  async #applied(object: KubeObject, options: ApplyCall): Promise<KubeObject> {
    const answer = await this.#applyCall(object, options)
    const what = `apply ${describeRef(refOf(object))}`
    if (answer === undefined) throw unknownKind(object, what)
    return kubeObjectSchema.parse(JSON.parse(accepted(answer, what)))
  }

  async #applyCall(
    object: KubeObject,
    {fieldManager = FIELD_MANAGER, dryRun = false, signal}: ApplyCall,
  ): Promise<HttpAnswer | undefined> {
    const path = await this.#pathOf(refOf(object))
    if (path === undefined) return undefined
    const manager = encodeURIComponent(fieldManager)
    return this.#send({
      method: 'PATCH',
      path: `${path}?fieldManager=${manager}&force=true${dryRun ? '&dryRun=All' : ''}`,
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
    const root = rootOf(what)
    const resource = ALWAYS_SERVED.get(`${root} ${what.kind}`) ?? (await this.#resourceOf(root, what.kind))
    if (resource === undefined) return undefined
    const scope =
      resource.namespaced && what.namespace !== undefined
        ? `/namespaces/${encodeURIComponent(what.namespace)}`
        : ''
    return `${root}${scope}/${resource.plural}`
  }

  /** Undefined: it is not served, now. */
  async #resourceOf(root: string, kind: string): Promise<Resource | undefined> {
    const known = this.#discovered.get(root) ?? this.#discover(root)
    this.#discovered.set(root, known)
    const resource = (
      await known.catch((error: unknown) => {
        this.#discovered.delete(root)
        throw error
      })
    )?.get(kind)
    if (resource === undefined) this.#discovered.delete(root)
    return resource
  }

  async #discover(root: string): Promise<Map<string, Resource> | undefined> {
    const answer = await this.#send({method: 'GET', path: root})
    if (answer.status === 404) return undefined
    const {resources} = resourceListSchema.parse(JSON.parse(accepted(answer, `read ${root}`)))
    const plain = resources.filter((resource) => !resource.name.includes('/'))
    return new Map(plain.map(({kind, name, namespaced}) => [kind, {plural: name, namespaced}]))
  }
}

/** Where an API version is discovered. */
const rootOf = ({apiVersion}: {readonly apiVersion: string}): string =>
  apiVersion.includes('/') ? `/apis/${apiVersion}` : `/api/${apiVersion}`

/** What a write made. Who wrote on top of what he read finds nothing to write on: it has changed since. */
function written(answer: HttpAnswer, what: string, resourceVersion: string | undefined): KubeObject {
  if (answer.status === 404 && resourceVersion !== undefined) {
    const {answer: given, message} = apiError(answer, what)
    throw new ConflictError(message, {answer: given})
  }
  return kubeObjectSchema.parse(JSON.parse(accepted(answer, what)))
}

const unknownKind = (object: {apiVersion: string; kind: string}, what: string): KubernetesError =>
  new KubernetesError(
    'API_REJECTED',
    `cannot ${what}: the API server does not serve ${object.apiVersion} ${object.kind}`,
  )
