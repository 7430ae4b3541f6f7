import {randomUUID} from 'node:crypto'
import {isDeepStrictEqual} from 'node:util'
import {z} from 'zod'
import {KubernetesError} from '../../src/errors.ts'
import {describeRef, refOf} from '../../src/kubernetes/refs.ts'
import {
  kubeObjectSchema,
  type HttpAnswer,
  type KubeObject,
  type ListQuery,
  type ObjectRef,
  type OpenKube,
} from '../../src/kubernetes/types.ts'

type Json = Record<string, unknown>

interface Resource {
  readonly plural: string
  readonly namespaced: boolean
}

const namespaced = (plural: string): Resource => ({plural, namespaced: true})
const clusterWide = (plural: string): Resource => ({plural, namespaced: false})

/** What this API server serves; any other kind is unknown to it. */
const RESOURCES: Readonly<Record<string, Readonly<Record<string, Resource>>>> = {
  v1: {
    ConfigMap: namespaced('configmaps'),
    Namespace: clusterWide('namespaces'),
    Node: clusterWide('nodes'),
    PersistentVolume: clusterWide('persistentvolumes'),
    PersistentVolumeClaim: namespaced('persistentvolumeclaims'),
    Pod: namespaced('pods'),
    Secret: namespaced('secrets'),
    Service: namespaced('services'),
    ServiceAccount: namespaced('serviceaccounts'),
  },
  'apps/v1': {
    DaemonSet: namespaced('daemonsets'),
    Deployment: namespaced('deployments'),
    StatefulSet: namespaced('statefulsets'),
  },
  'networking.k8s.io/v1': {Ingress: namespaced('ingresses')},
  'rbac.authorization.k8s.io/v1': {
    ClusterRole: clusterWide('clusterroles'),
    ClusterRoleBinding: clusterWide('clusterrolebindings'),
  },
  'node.k8s.io/v1': {RuntimeClass: clusterWide('runtimeclasses')},
}

const DNS_SUBDOMAIN = /^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$/

interface Stored {
  readonly object: KubeObject
  /** What `clouder` applied last: what is missing from the next one is taken away. */
  readonly applied: KubeObject | undefined
}

export interface FakeKubeOptions {
  readonly kubernetesVersion?: string
  /** What controllers have written by now; undefined: no status. */
  readonly statusOf?: (object: KubeObject) => unknown
  /** Awaited before each call; may throw in its place. */
  readonly before?: () => Promise<void>
  /** Told after each change through the API; may throw. */
  readonly onChange?: (what: string) => void
}

/** An API server in memory: passes `kubeContract`, knows the kinds above, and runs no controller but `statusOf`. */
export class FakeKube implements OpenKube {
  /** Set: every call fails with it, as when nothing listens. */
  down: string | undefined
  /** `apply DaemonSet kube-flannel/kube-flannel-ds`, `patch …`, `delete …`, `post …`, in order. */
  readonly changes: string[] = []
  readonly #options: FakeKubeOptions
  readonly #stored = new Map<string, Stored>()
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

  /** Puts an object there as somebody other than clouder would. */
  create(object: KubeObject): void {
    this.#store(object, undefined)
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
      z.object({object: kubeObjectSchema, applied: kubeObjectSchema.optional()}),
    ])
    this.#stored.clear()
    for (const [key, {object, applied}] of z.array(entry).parse(saved))
      this.#stored.set(key, {object, applied})
  }

  close(): void {
    // Nothing is open.
  }

  async get(ref: ObjectRef): Promise<KubeObject | undefined> {
    await this.#answer()
    const stored = this.#stored.get(keyOf(ref))
    return stored === undefined ? undefined : this.#seen(stored.object)
  }

  async list(query: ListQuery): Promise<readonly KubeObject[]> {
    await this.#answer()
    const selects = selectorOf(query.labelSelector ?? '')
    const found = [...this.#stored.values()].filter(
      ({object}) =>
        object.apiVersion === query.apiVersion &&
        object.kind === query.kind &&
        (query.namespace === undefined || object.metadata.namespace === query.namespace) &&
        selects(object.metadata.labels ?? {}),
    )
    return found.map(({object}) => this.#seen(object))
  }

  async fetch(path: string): Promise<HttpAnswer> {
    await this.#answer()
    const [base = ''] = path.split('?')
    if (['/readyz', '/livez', '/healthz'].includes(base)) return {status: 200, body: 'ok'}
    if (base === '/version') {
      return {
        status: 200,
        body: JSON.stringify({gitVersion: `v${this.#options.kubernetesVersion ?? '1.35.4'}`}),
      }
    }
    return notFound(path)
  }

  async diff(objects: readonly KubeObject[]): Promise<readonly ObjectRef[]> {
    await this.#answer()
    return objects.filter((object) => this.#differs(object)).map(refOf)
  }

  async apply(objects: readonly KubeObject[]): Promise<void> {
    await this.#answer()
    for (const object of objects) {
      const what = `apply ${describeRef(refOf(object))}`
      const problem = this.#problemOf(object)
      if (problem !== undefined) throw new KubernetesError('API_REJECTED', `cannot ${what}: ${problem}`)
      this.#store(this.#applied(object), structuredClone(object))
      this.#changed(what)
    }
  }

  async patch(ref: ObjectRef, patch: unknown): Promise<void> {
    await this.#answer()
    const stored = this.#stored.get(keyOf(ref))
    const what = `patch ${describeRef(ref)}`
    if (stored === undefined) throw new KubernetesError('API_REJECTED', `cannot ${what}: 404 not found`)
    this.#store(kubeObjectSchema.parse(mergePatch(stored.object, patch)), stored.applied)
    this.#changed(what)
  }

  async remove(ref: ObjectRef): Promise<void> {
    await this.#answer()
    if (!this.#stored.delete(keyOf(ref))) return
    if (ref.kind === 'Namespace') {
      for (const [key, {object}] of this.#stored)
        if (object.metadata.namespace === ref.name) this.#stored.delete(key)
    }
    this.#changed(`delete ${describeRef(ref)}`)
  }

  async post(path: string, body: string): Promise<HttpAnswer> {
    await this.#answer()
    const target = collectionOf(path)
    if (target === undefined) return notFound(path)
    const {kind, apiVersion, namespace} = target
    const sent = kubeObjectSchema.parse({apiVersion, kind, ...z.looseObject({}).parse(JSON.parse(body))})
    const object = namespace === undefined ? sent : {...sent, metadata: {...sent.metadata, namespace}}
    if (this.#stored.has(keyOf(refOf(object)))) return {status: 409, body: statusBody('already exists')}
    this.#store(object, undefined)
    this.#changed(`post ${describeRef(refOf(object))}`)
    return {status: 201, body: JSON.stringify(this.#stored.get(keyOf(refOf(object)))?.object)}
  }

  #begin(): void {
    for (const name of ['default', 'kube-system', 'kube-public', 'kube-node-lease'])
      this.create({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})
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

  #seen(object: KubeObject): KubeObject {
    const status = this.#options.statusOf?.(object)
    return structuredClone(status === undefined ? object : {...object, status})
  }

  #problemOf(object: KubeObject): string | undefined {
    const resource = RESOURCES[object.apiVersion]?.[object.kind]
    const {name, namespace} = object.metadata
    if (resource === undefined) return `the API server does not know ${object.apiVersion} ${object.kind}`
    if (!DNS_SUBDOMAIN.test(name)) return `422 the name ${name} is not valid`
    if (!resource.namespaced) return undefined
    if (namespace === undefined) return '405 a namespace is required'
    const there = this.#stored.has(keyOf({apiVersion: 'v1', kind: 'Namespace', name: namespace}))
    return there ? undefined : `404 namespaces "${namespace}" not found`
  }

  #differs(object: KubeObject): boolean {
    const stored = this.#stored.get(keyOf(refOf(object)))
    if (stored === undefined || this.#problemOf(object) !== undefined) return true
    return !isDeepStrictEqual(stored.object, normalised(this.#applied(object)))
  }

  /** Server-side apply: what was applied before and is no longer goes, what is applied wins, the rest stays. */
  #applied(object: KubeObject): KubeObject {
    const stored = this.#stored.get(keyOf(refOf(object)))
    if (stored === undefined) return object
    const kept = without(stored.object, stored.applied ?? {}, object)
    return kubeObjectSchema.parse(merged(kept, object))
  }

  #store(object: KubeObject, applied: KubeObject | undefined): void {
    const key = keyOf(refOf(object))
    const before = this.#stored.get(key)?.object
    const {status, ...rest} = normalised(structuredClone(object))
    const uid = before?.metadata.uid ?? randomUUID()
    const next = {...rest, metadata: {...rest.metadata, uid}}
    if (before !== undefined && isDeepStrictEqual(before, next))
      return void this.#stored.set(key, {object: before, applied})
    const metadata = {...next.metadata, resourceVersion: String((this.#version += 1))}
    this.#stored.set(key, {object: {...next, metadata}, applied})
  }
}

const keyOf = ({apiVersion, kind, namespace, name}: ObjectRef): string =>
  [apiVersion, kind, RESOURCES[apiVersion]?.[kind]?.namespaced === true ? (namespace ?? '') : '', name].join(
    ' ',
  )

const statusBody = (message: string): string => JSON.stringify({kind: 'Status', message})

const notFound = (path: string): HttpAnswer => ({status: 404, body: statusBody(`${path} not found`)})

/** Text of a Secret becomes data, as the server does when it is written. */
function normalised(object: KubeObject): KubeObject {
  const {stringData, ...rest} = object
  if (object.kind !== 'Secret' || stringData === undefined) return object
  const texts = z.record(z.string(), z.string()).parse(stringData)
  const coded = Object.entries(texts).map(([key, text]) => [key, Buffer.from(text).toString('base64')])
  return {...rest, data: {...z.looseObject({}).parse(object['data'] ?? {}), ...Object.fromEntries(coded)}}
}

const isObject = (value: unknown): value is Json =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function merged(base: unknown, over: unknown): unknown {
  if (!isObject(base) || !isObject(over)) return over
  const result: Json = {...base}
  for (const [key, value] of Object.entries(over))
    result[key] = key in base ? merged(base[key], value) : value
  return result
}

/** `value` without what `before` has and `now` lacks. */
function without(value: unknown, before: unknown, now: unknown): unknown {
  if (!isObject(value) || !isObject(before) || !isObject(now)) return value
  const result: Json = {}
  for (const [key, item] of Object.entries(value)) {
    if (key in before && !(key in now)) continue
    result[key] = key in before ? without(item, before[key], now[key]) : item
  }
  return result
}

/** RFC 7396. */
function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isObject(patch)) return patch
  const result: Json = isObject(target) ? {...target} : {}
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) Reflect.deleteProperty(result, key)
    else result[key] = mergePatch(result[key], value)
  }
  return result
}

/** `a=b`, `a!=b`, `a`, `!a`, with commas between them. */
function selectorOf(text: string): (labels: Readonly<Record<string, string>>) => boolean {
  const terms = text.split(',').filter((term) => term !== '')
  return (labels) =>
    terms.every((term) => {
      const [, no, key = '', operator, value] = /^(!?)([^!=]+)(?:(!=|==?)(.*))?$/.exec(term) ?? []
      if (operator === undefined) return (labels[key] !== undefined) !== (no === '!')
      return (labels[key] === value) !== (operator === '!=')
    })
}

function collectionOf(path: string): {apiVersion: string; kind: string; namespace?: string} | undefined {
  const [, version, group, namespace, plural] =
    /^\/(?:api\/(v1)|apis\/([^/]+\/[^/]+))(?:\/namespaces\/([^/]+))?\/([^/]+)$/.exec(path) ?? []
  const apiVersion = version ?? group ?? ''
  const kind = Object.entries(RESOURCES[apiVersion] ?? {}).find(
    ([, resource]) => resource.plural === plural,
  )?.[0]
  if (kind === undefined) return undefined
  return {apiVersion, kind, ...(namespace === undefined ? {} : {namespace})}
}
