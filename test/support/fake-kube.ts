import {randomUUID} from 'node:crypto'
import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {KubernetesError} from '../../src/kubernetes/errors.ts'
import {ConflictError} from '../../src/kubernetes/conflict.ts'
import {describeRef, refOf} from '../../src/kubernetes/refs.ts'
import {
  kubeObjectSchema,
  type DeleteOptions,
  type HttpAnswer,
  type KubeClient,
  type KubeObject,
  type ListQuery,
  type ObjectRef,
  type PatchOptions,
  type WatchEvent,
  type WatchQuery,
} from '../../src/kubernetes/types.ts'
import {deepFreeze, isObject, mergePatch, merged, without} from './fake-kube-json.ts'
import {
  DNS_SUBDOMAIN,
  RESOURCES,
  WITH_STATUS,
  collectionOf,
  discovered,
  finalizersOf,
  generationOf,
  keyOf,
  matcherOf,
  normalised,
  notFound,
  statusBody,
} from './fake-kube-resources.ts'

type Applied = Readonly<Record<string, KubeObject>>
const FIELD_MANAGER = 'clouder'

interface Stored {
  readonly object: KubeObject
  /** What each field manager applied last: what is missing from its next one is taken away. */
  readonly applied: Applied
}

export interface FakeKubeOptions {
  readonly kubernetesVersion?: string
  /** What controllers have written by now; undefined: no status. */
  readonly statusOf?: (object: KubeObject) => unknown
  /** Awaited before each call; may throw in its place. */
  readonly before?: () => Promise<void>
  /** Told after each change through the API; may throw. */
  readonly onChange?: (what: string) => void
  /** Pods of a node end only when somebody, as their kubelet would, deletes them with a grace of 0 s. */
  readonly kubelets?: boolean
  /** Milliseconds since the epoch; default: the real clock. */
  readonly now?: () => number
  /** Why admission refuses to create an object; undefined: it does not. */
  readonly refuse?: (object: KubeObject) => string | undefined
  /** Answers to `fetch` and `post` of paths that are not served here. */
  readonly answer?: (path: string, body?: string) => HttpAnswer | undefined
}

const conflict = (what: string): ConflictError =>
  new ConflictError(`cannot ${what}: 409 the object has been modified`, {answer: {status: 409}})

/** A patch may say of which version it is. */
const guardSchema = z.looseObject({
  metadata: z.looseObject({resourceVersion: z.string().optional()}).optional(),
})

interface Watcher {
  readonly matches: (object: KubeObject) => boolean
  readonly told: Set<string>
  readonly onEvent: (event: WatchEvent) => void
}

/** An API server in memory: passes `kubeContract`, knows the kinds above, and runs no controller but `statusOf`. */
export class FakeKube implements KubeClient {
  /** Set: every call fails with it, as when nothing listens. */
  down: string | undefined
  /** `apply DaemonSet kube-flannel/kube-flannel-ds`, `patch …`, `delete …`, `post …`, in order. */
  readonly changes: string[] = []
  readonly #options: FakeKubeOptions
  readonly #stored = new Map<string, Stored>()
  readonly #watchers = new Set<Watcher>()
  #version = 0

  constructor(options: FakeKubeOptions = {}) {
    this.#options = options
    this.#begin()
  }

  /** Forgets everything, as with a new etcd. */
  wipe(): void {
    this.#stored.clear()
    this.#begin()
  }

  /** Puts an object there, with its status, as somebody other than clouder would. */
  put(object: KubeObject): void {
    const before = this.#stored.get(keyOf(refOf(object)))?.object
    this.#store(object, {}, object['status'] ?? before?.['status'])
  }

  /** Takes an object away at once, as somebody other than clouder would. */
  drop(ref: ObjectRef): void {
    this.#forget(keyOf(ref))
  }

  /** All objects of a kind, seen from behind the API. */
  peek(apiVersion: string, kind: string): readonly KubeObject[] {
    return [...this.#stored.values()]
      .map(({object}) => object)
      .filter((object) => object.apiVersion === apiVersion && object.kind === kind)
      .map((object) => this.#seen(object))
  }

  /** Whether there is such an object, asked from behind the API. */
  holds(ref: ObjectRef): boolean {
    return this.#stored.has(keyOf(ref))
  }

  /** Everything that is stored, as plain data; `restore` takes it back. */
  save(): unknown {
    return [...this.#stored]
  }

  restore(saved: unknown): void {
    const entry = z.tuple([
      z.string(),
      z.object({object: kubeObjectSchema, applied: z.record(z.string(), kubeObjectSchema)}),
    ])
    this.#stored.clear()
    for (const [key, {object, applied}] of z.array(entry).parse(saved))
      this.#stored.set(key, {object: deepFreeze(object), applied})
  }

  close(): void {
    // Nothing is open.
  }

  async get(ref: ObjectRef): Promise<KubeObject | undefined> {
    await this.#answer()
    return this.#read(ref)
  }

  async list(query: ListQuery): Promise<readonly KubeObject[]> {
    await this.#answer()
    const matches = matcherOf(query)
    return [...this.#stored.values()]
      .filter(({object}) => matches(object))
      .map(({object}) => this.#seen(object))
  }

  async watch(query: WatchQuery, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void> {
    if (signal.aborted) return
    query.onState?.('syncing')
    const told = (event: WatchEvent): void => {
      try {
        onEvent({...event, object: query.project?.(event.object) ?? event.object})
      } catch (error) {
        query.onProblem?.(new Error(`not handled: ${String(error)}`, {cause: error}))
      }
    }
    const watcher: Watcher = {matches: matcherOf(query), told: new Set(), onEvent: told}
    this.#watchers.add(watcher)
    for (const [key, {object}] of this.#stored) this.#tell(watcher, key, object)
    // Like the real one, which tells from the network: never while the caller of a change still runs.
    queueMicrotask(() => {
      query.onState?.('live')
      query.onSynced?.()
    })
    await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), {once: true}))
    this.#watchers.delete(watcher)
  }

  async fetch(path: string): Promise<HttpAnswer> {
    await this.#answer()
    const own = this.#options.answer?.(path)
    if (own !== undefined) return own
    const [base = ''] = path.split('?')
    if (['/readyz', '/livez', '/healthz'].includes(base)) return {status: 200, body: 'ok'}
    if (base === '/version') {
      return {
        status: 200,
        body: JSON.stringify({gitVersion: `v${this.#options.kubernetesVersion ?? '1.35.4'}`}),
      }
    }
    if (base === '/api/v1/nodes') {
      const items = await this.list({apiVersion: 'v1', kind: 'Node'})
      return {status: 200, body: JSON.stringify({apiVersion: 'v1', kind: 'NodeList', items})}
    }
    const collection = collectionOf(base)
    if (collection !== undefined) {
      const items = await this.list(collection)
      return {status: 200, body: JSON.stringify({kind: 'List', items})}
    }
    return discovered(base) ?? notFound(path)
  }

  async diff(objects: readonly KubeObject[]): Promise<readonly ObjectRef[]> {
    await this.#answer()
    return objects.filter((object) => this.#differs(object)).map(refOf)
  }

  async apply(objects: readonly KubeObject[]): Promise<void> {
    await this.#answer()
    for (const object of objects) this.#apply(FIELD_MANAGER, object)
  }

  async applyAs(fieldManager: string, object: KubeObject): Promise<KubeObject> {
    await this.#answer()
    this.#apply(fieldManager, object)
    return this.#read(refOf(object)) ?? object
  }

  async dryRun(object: KubeObject, fieldManager: string): Promise<KubeObject> {
    await this.#answer()
    this.#refuse(object)
    return normalised(this.#applied(fieldManager, object))
  }

  async missingRule(): Promise<undefined> {
    await this.#answer()
  }

  #refuse(object: KubeObject): void {
    const problem = this.#problemOf(object)
    if (problem !== undefined)
      throw new KubernetesError('API_REJECTED', `cannot apply ${describeRef(refOf(object))}: ${problem}`)
  }

  #apply(fieldManager: string, object: KubeObject): void {
    this.#refuse(object)
    const stored = this.#stored.get(keyOf(refOf(object)))
    const applied = {...stored?.applied, [fieldManager]: structuredClone(object)}
    this.#store(this.#applied(fieldManager, object), applied, stored?.object['status'])
    this.#changed(`apply ${describeRef(refOf(object))}`)
  }

  async patch(ref: ObjectRef, patch: object, options: PatchOptions = {}): Promise<KubeObject> {
    await this.#answer()
    const asked = options.resourceVersion ?? guardSchema.parse(patch).metadata?.resourceVersion
    const isStatus = options.subresource !== undefined
    const what = `${isStatus ? 'status' : 'patch'} ${describeRef(ref)}`
    const {object, applied} = this.#toWrite(ref, asked, what)
    const next = kubeObjectSchema.parse(mergePatch(object, patch))
    this.#store(isStatus ? object : next, applied, isStatus ? next['status'] : object['status'])
    this.#changed(what)
    // One that has lost its last finalizer is gone.
    return this.#read(ref) ?? next
  }

  async create(
    object: KubeObject,
    {dryRun = false}: {readonly dryRun?: boolean} = {},
  ): Promise<KubeObject | undefined> {
    await this.#answer()
    const ref = refOf(object)
    const what = `create ${describeRef(ref)}`
    const problem = this.#problemOf(object)
    if (problem !== undefined) throw new KubernetesError('API_REJECTED', `cannot ${what}: ${problem}`)
    const refused = this.#options.refuse?.(object)
    if (refused !== undefined)
      throw new KubernetesError('API_REJECTED', `cannot ${what}: 403 ${refused}`, {
        answer: {status: 403, reason: 'Forbidden', details: undefined},
      })
    if (this.#stored.has(keyOf(ref))) return undefined
    if (dryRun) return object
    this.#store(object, {}, WITH_STATUS.has(object.kind) ? undefined : object['status'])
    this.#changed(what)
    return this.#read(ref)
  }

  async update(object: KubeObject): Promise<KubeObject> {
    await this.#answer()
    const ref = refOf(object)
    const what = `update ${describeRef(ref)}`
    const stored = this.#toWrite(ref, object.metadata.resourceVersion, what)
    const status = WITH_STATUS.has(object.kind) ? stored.object['status'] : object['status']
    this.#store(object, stored.applied, status)
    this.#changed(what)
    return this.#read(ref) ?? object
  }

  async delete(ref: ObjectRef, {graceSeconds, uid, resourceVersion}: DeleteOptions = {}): Promise<void> {
    await this.#answer()
    const stored = this.#stored.get(keyOf(ref))
    if (stored === undefined) return
    const {object, applied} = stored
    if (resourceVersion !== undefined && object.metadata.resourceVersion !== resourceVersion)
      throw conflict(`delete ${describeRef(ref)}`)
    if (uid !== undefined && object.metadata.uid !== uid) return
    const held = finalizersOf(object).length > 0 || (this.#ends(object) && graceSeconds !== 0)
    if (!held) this.#forget(keyOf(ref))
    else {
      const at = object.metadata.deletionTimestamp ?? this.#now()
      const metadata = {...object.metadata, deletionTimestamp: at}
      this.#store({...object, metadata}, applied, object['status'])
    }
    if (ref.kind === 'Namespace') {
      for (const [key, inside] of this.#stored)
        if (inside.object.metadata.namespace === ref.name) this.#forget(key)
    }
    this.#changed(`delete ${describeRef(ref)}`)
  }

  async post(path: string, body: string): Promise<HttpAnswer> {
    await this.#answer()
    const own = this.#options.answer?.(path, body)
    if (own !== undefined) return own
    const target = collectionOf(path)
    if (target === undefined) return notFound(path)
    const {kind, apiVersion, namespace} = target
    const sent = kubeObjectSchema.parse({apiVersion, kind, ...z.looseObject({}).parse(JSON.parse(body))})
    const object = namespace === undefined ? sent : {...sent, metadata: {...sent.metadata, namespace}}
    if (this.#stored.has(keyOf(refOf(object)))) return {status: 409, body: statusBody('already exists')}
    this.#store(object, {}, undefined)
    this.#changed(`post ${describeRef(refOf(object))}`)
    return {status: 201, body: JSON.stringify(this.#stored.get(keyOf(refOf(object)))?.object)}
  }

  /** What a write finds; `asked`: the version that it was computed from. */
  #toWrite(ref: ObjectRef, asked: string | undefined, what: string): Stored {
    const stored = this.#stored.get(keyOf(ref))
    if (asked !== undefined && stored?.object.metadata.resourceVersion !== asked) throw conflict(what)
    if (stored !== undefined) return stored
    throw new KubernetesError('API_REJECTED', `cannot ${what}: 404 not found`, {answer: {status: 404}})
  }

  #begin(): void {
    for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease'])
      this.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})
  }

  #now(): string {
    return new Date(this.#options.now?.() ?? Date.now()).toISOString().replace(/\.\d+Z$/, 'Z')
  }

  /** Whether a pod is on a node, whose kubelet ends it. */
  #ends(object: KubeObject): boolean {
    const {spec} = object
    return this.#options.kubelets === true && object.kind === 'Pod' && isObject(spec) && 'nodeName' in spec
  }

  #read(ref: ObjectRef): KubeObject | undefined {
    const stored = this.#stored.get(keyOf(ref))
    return stored === undefined ? undefined : this.#seen(stored.object)
  }

  async #answer(): Promise<void> {
    await this.#options.before?.()
    if (this.down === undefined) return
    throw new KubernetesError('API_UNREACHABLE', `the API server did not answer: ${this.down}`)
  }

  #changed(what: string): void {
    this.changes.push(what)
    this.#options.onChange?.(what)
  }

  /** What is stored is frozen: whoever reads it needs no copy, and whoever would change it is told. */
  #seen(object: KubeObject): KubeObject {
    const status = this.#options.statusOf?.(object)
    return status === undefined ? object : {...object, status: structuredClone(status)}
  }

  #problemOf(object: KubeObject): string | undefined {
    const resource = RESOURCES[object.apiVersion]?.[object.kind]
    const {name, namespace} = object.metadata
    if (resource === undefined) return `the API server does not serve ${object.apiVersion} ${object.kind}`
    // Names of roles may have colons: https://kubernetes.io/docs/reference/access-authn-authz/rbac/
    const plain = object.apiVersion.startsWith('rbac.') ? name.replaceAll(':', '-') : name
    if (!DNS_SUBDOMAIN.test(plain)) return `422 the name ${name} is not valid`
    if (!resource.namespaced) return undefined
    if (namespace === undefined) return '405 a namespace is required'
    const there = this.#stored.has(keyOf({apiVersion: 'v1', kind: 'Namespace', name: namespace}))
    return there ? undefined : `404 namespaces "${namespace}" not found`
  }

  #differs(object: KubeObject): boolean {
    const stored = this.#stored.get(keyOf(refOf(object)))
    if (stored === undefined || this.#problemOf(object) !== undefined) return true
    return !isDeepStrictEqual(stored.object, normalised(this.#applied(FIELD_MANAGER, object)))
  }

  /** Server-side apply: what was applied before, and that nobody applies now, goes; what is applied wins. */
  #applied(fieldManager: string, object: KubeObject): KubeObject {
    const stored = this.#stored.get(keyOf(refOf(object)))
    if (stored === undefined) return object
    const {[fieldManager]: before = {}, ...others} = stored.applied
    const kept = without(stored.object, before, [...Object.values(others), object].reduce(merged, {}))
    return kubeObjectSchema.parse(merged(kept, object))
  }

  #store(object: KubeObject, applied: Applied, status: unknown): void {
    const key = keyOf(refOf(object))
    const before = this.#stored.get(key)?.object
    const {status: _ignored, ...rest} = normalised(structuredClone(object))
    const uid = before?.metadata.uid ?? randomUUID()
    const creationTimestamp = before?.metadata['creationTimestamp'] ?? this.#now()
    const next = {
      ...rest,
      metadata: {...rest.metadata, uid, creationTimestamp},
      ...(status === undefined ? {} : {status}),
    }
    if (before !== undefined && isDeepStrictEqual(before, next))
      return void this.#stored.set(key, {object: before, applied})
    const generation = generationOf(next, before)
    const resourceVersion = String((this.#version += 1))
    const made = kubeObjectSchema.parse({
      ...next,
      metadata: {...next.metadata, resourceVersion, ...(generation === undefined ? {} : {generation})},
    })
    if (
      made.metadata.deletionTimestamp !== undefined &&
      finalizersOf(made).length === 0 &&
      !this.#ends(made)
    ) {
      this.#forget(key)
      return
    }
    this.#stored.set(key, {object: deepFreeze(made), applied})
    for (const watcher of this.#watchers) this.#tell(watcher, key, made)
  }

  #forget(key: string): void {
    const stored = this.#stored.get(key)
    this.#stored.delete(key)
    if (stored === undefined) return
    this.#version += 1
    for (const watcher of this.#watchers) this.#tell(watcher, key, stored.object, true)
  }

  #tell(watcher: Watcher, key: string, object: KubeObject, gone = false): void {
    const before = watcher.told.has(key)
    const now = !gone && watcher.matches(object)
    if (!before && !now) return
    if (now) watcher.told.add(key)
    else watcher.told.delete(key)
    const type = now ? (before ? 'MODIFIED' : 'ADDED') : 'DELETED'
    const seen = this.#seen(object)
    queueMicrotask(() => {
      if (this.#watchers.has(watcher)) watcher.onEvent({type, object: seen})
    })
  }
}
