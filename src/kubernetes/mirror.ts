import {z} from 'zod'
import {KubernetesError} from './errors.ts'
import {withKind} from './list.ts'
import {isOlder} from './resource-version.ts'
import type {KubeObject, WatchEvent, WatchQuery} from './types.ts'

export interface MirrorOptions {
  readonly query: Pick<WatchQuery, 'apiVersion' | 'kind' | 'project' | 'onSynced' | 'onProblem'>
  readonly onEvent: (event: WatchEvent) => void
  /** So long lists that are older than what is known are taken for those of a server that lags behind. */
  readonly lagMs: number
}

const namedSchema = z.looseObject({
  metadata: z.looseObject({name: z.string(), namespace: z.string().optional()}),
})

/**
 * What was told of the objects of a kind, and tells what is new, different or gone. Never goes back: what is older than
 * what was told is left out.
 */
export class Mirror {
  readonly #options: MirrorOptions
  readonly #told = new Map<string, KubeObject>()
  /** What a list that is under way has given so far; what cannot be read is undefined, and stays as it was told. */
  #listed: Map<string, KubeObject | undefined> | undefined
  #version: string | undefined
  #isCurrent = false
  #isSynced = false
  #lagsSinceMs: number | undefined

  constructor(options: MirrorOptions) {
    this.#options = options
  }

  /** Up to which everything was told. */
  get version(): string | undefined {
    return this.#version
  }

  /** A watch may go on from `version`; otherwise everything is to be listed. */
  get isCurrent(): boolean {
    return this.#isCurrent
  }

  /** Everything that was there has been told once. */
  get isSynced(): boolean {
    return this.#isSynced
  }

  /** The server does not know any more what came after `version`. */
  expire(): void {
    this.#isCurrent = false
  }

  begin(): void {
    this.#listed = new Map()
  }

  /** One of what is there; DELETED: not any more, it went while the list was under way. */
  add(item: object, type: WatchEvent['type'] = 'ADDED'): void {
    const key = keyIn(item)
    if (type === 'DELETED') this.#listed?.delete(key ?? '')
    else if (key !== undefined) this.#listed?.set(key, this.#read(item))
    else this.#read(item)
  }

  /** The list is complete: tells how it differs. Throws KubernetesError API_UNAVAILABLE when it is older than what was told. */
  complete(version: string | undefined): void {
    const listed = this.#listed ?? new Map<string, KubeObject | undefined>()
    this.#listed = undefined
    this.#refuseOlder(version)
    for (const [key, before] of this.#told) if (!listed.has(key)) this.#forget(key, before)
    for (const object of listed.values()) if (object !== undefined) this.#put(object)
    this.#version = version
    this.#isCurrent = true
    if (this.#isSynced) return
    this.#isSynced = true
    this.#options.query.onSynced?.()
  }

  /** An event of a watch. */
  change(type: WatchEvent['type'], item: object): void {
    const object = this.#read(item)
    if (object === undefined) return
    const {resourceVersion} = object.metadata
    if (isOlder(resourceVersion, this.#version)) return
    if (type === 'DELETED') this.#forget(keyOf(object), object)
    else this.#put(object)
    this.#version = resourceVersion ?? this.#version
  }

  /** A bookmark: everything up to this version was told. Throws KubernetesError when that is in the past. */
  reach(version: string | undefined): void {
    // What was restored from a backup counts from there: only a list can tell.
    if (isOlder(version, this.#version)) {
      this.expire()
      throw this.#wentBack(version)
    }
    this.#version = version ?? this.#version
  }

  #refuseOlder(version: string | undefined): void {
    if (!isOlder(version, this.#version)) {
      this.#lagsSinceMs = undefined
      return
    }
    const nowMs = performance.now()
    this.#lagsSinceMs ??= nowMs
    if (nowMs - this.#lagsSinceMs >= this.#options.lagMs) {
      this.#lagsSinceMs = undefined
      return
    }
    throw this.#wentBack(version)
  }

  #wentBack(version: string | undefined): KubernetesError {
    const {kind} = this.#options.query
    const what = `the API server has ${kind} of version ${version}, and ${this.#version} was seen already`
    return new KubernetesError('API_UNAVAILABLE', what)
  }

  /** Undefined: it is no object; that is told. */
  #read(item: object): KubeObject | undefined {
    const {query} = this.#options
    try {
      return (query.project ?? withoutManagedFields)(withKind(item, query))
    } catch (error) {
      const what = `left out ${query.kind} ${keyIn(item) ?? 'without a name'}, which cannot be read`
      query.onProblem?.(new KubernetesError('NOT_READY', what, {cause: error}))
      return undefined
    }
  }

  #put(object: KubeObject): void {
    const key = keyOf(object)
    const before = this.#told.get(key)
    const {uid, resourceVersion} = object.metadata
    if (before !== undefined && before.metadata.uid !== uid) this.#forget(key, before)
    else if (before !== undefined && before.metadata.resourceVersion === resourceVersion) return
    const type = this.#told.has(key) ? 'MODIFIED' : 'ADDED'
    this.#told.set(key, object)
    this.#tell({type, object})
  }

  /** `last`: as it was when it went. */
  #forget(key: string, last: KubeObject): void {
    if (this.#told.delete(key)) this.#tell({type: 'DELETED', object: last})
  }

  /** Who is told may fail: that ends nothing here. */
  #tell(event: WatchEvent): void {
    const {onEvent, query} = this.#options
    try {
      onEvent(event)
    } catch (error) {
      const what = `${event.type} ${query.kind} ${keyOf(event.object)} was not handled: ${String(error)}`
      query.onProblem?.(new Error(what, {cause: error}))
    }
  }
}

/** Half of an object's size, and nobody reads it. */
function withoutManagedFields(object: KubeObject): KubeObject {
  const {managedFields, ...metadata} = object.metadata
  return managedFields === undefined ? object : {...object, metadata}
}

const keyOf = ({metadata}: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`

function keyIn(item: object): string | undefined {
  const {data} = namedSchema.safeParse(item)
  return data === undefined ? undefined : `${data.metadata.namespace ?? ''}/${data.metadata.name}`
}
