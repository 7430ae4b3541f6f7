import {z} from 'zod'
import {KubernetesError} from '../base/errors.ts'
import {pauseQuietly} from '../base/waiting.ts'
import {apiError} from './answers.ts'
import type {Transport} from './transport.ts'
import {kubeObjectSchema, type KubeObject, type WatchEvent, type WatchQuery} from './types.ts'

const PAGE = 500
/** The server ends a watch by itself after this long, give or take; a connection that died unseen is noticed then. */
const WATCH_SECONDS = 60
const BACKOFF_MS = {first: 100, most: 10_000} as const
const GONE = 410

const pageSchema = z.looseObject({
  metadata: z.looseObject({resourceVersion: z.string(), continue: z.string().optional()}),
  items: z.array(z.looseObject({})),
})
const lineSchema = z.looseObject({type: z.string(), object: z.looseObject({})})
const statusSchema = z.looseObject({code: z.int().optional()})
const bookmarkSchema = z.looseObject({metadata: z.looseObject({resourceVersion: z.string()})})

export interface WatchOptions {
  readonly transport: Transport
  /** Path of the collection; undefined: the server does not know the kind yet. */
  readonly collection: () => Promise<string | undefined>
  readonly query: WatchQuery
  readonly onEvent: (event: WatchEvent) => void
  readonly signal: AbortSignal
}

/** What was told of an object last: its version, and the object for when it is found to be gone. */
type Told = Map<string, KubeObject>

/** Lists, then watches, then again from the last version heard of; lists anew when the server has forgotten that. */
export async function watchCollection(options: WatchOptions): Promise<void> {
  const told: Told = new Map()
  let version: string | undefined
  let synced = false
  let backoffMs: number = BACKOFF_MS.first
  const over = (): boolean => options.signal.aborted
  while (!over()) {
    try {
      const path = await options.collection()
      if (path === undefined)
        throw new KubernetesError('NOT_READY', `${options.query.kind} is not served yet`)
      if (version === undefined) {
        version = await tellAll(path, told, options)
        if (!synced) options.query.onSynced?.()
        synced = true
      }
      version = await follow(path, version, told, options)
      backoffMs = BACKOFF_MS.first
    } catch (error) {
      if (over()) return
      if (!(error instanceof KubernetesError)) throw error
      options.query.onProblem?.(error)
      await pauseQuietly(backoffMs * (0.5 + Math.random()), options.signal)
      backoffMs = Math.min(backoffMs * 2, BACKOFF_MS.most)
    }
  }
}

/** Tells what is new or different, and what is gone; gives the version of the list. */
async function tellAll(path: string, told: Told, options: WatchOptions): Promise<string> {
  const {items, version} = await listAll(path, options)
  const present = new Set(items.map(keyOf))
  for (const [key, object] of told) if (!present.has(key)) tell({type: 'DELETED', object}, told, options)
  for (const object of items) {
    const before = told.get(keyOf(object))
    if (before === undefined) tell({type: 'ADDED', object}, told, options)
    else if (versionOf(before) !== versionOf(object)) tell({type: 'MODIFIED', object}, told, options)
  }
  return version
}

async function listAll(
  path: string,
  {transport, query, signal}: WatchOptions,
): Promise<{items: readonly KubeObject[]; version: string}> {
  const items: KubeObject[] = []
  let next: string | undefined
  for (;;) {
    const parameters = {limit: String(PAGE), ...(next === undefined ? {} : {continue: next})}
    const {status, body} = await transport.send({
      method: 'GET',
      path: `${path}?${selection(query, parameters)}`,
      signal,
    })
    // 410: the pages expired between two of them; the caller begins anew.
    if (status !== 200) throw apiError({status, body}, `list ${query.kind}`)
    const page = parsePage(body, query)
    items.push(...page.items.map((item) => withKind(item, query)))
    next = page.metadata.continue === '' ? undefined : page.metadata.continue
    if (next === undefined) return {items, version: page.metadata.resourceVersion}
  }
}

/** Follows one connection to its end; gives the version to go on from, undefined when all must be listed anew. */
async function follow(
  path: string,
  from: string,
  told: Told,
  options: WatchOptions,
): Promise<string | undefined> {
  const {transport, query, signal} = options
  const seconds = Math.round(WATCH_SECONDS * (1 + Math.random()))
  const limit = AbortSignal.timeout((seconds + 15) * 1000)
  const parameters = {
    watch: '1',
    allowWatchBookmarks: 'true',
    resourceVersion: from,
    timeoutSeconds: String(seconds),
  }
  let version = from
  const answer = await transport
    .stream(`${path}?${selection(query, parameters)}`, AbortSignal.any([signal, limit]))
    .catch((error: unknown) => {
      throw limit.aborted ? silent(query) : error
    })
  if (answer.status === GONE) return undefined
  if (answer.status !== 200) throw apiError({status: answer.status, body: ''}, `watch ${query.kind}`)
  try {
    for await (const line of answer.lines) {
      const {type, object} = parseLine(line, query)
      if (type === 'ERROR') {
        const {code = 500} = statusSchema.parse(object)
        if (code === GONE) return undefined
        throw apiError({status: code, body: JSON.stringify(object)}, `watch ${query.kind}`)
      }
      version = bookmarkSchema.parse(object).metadata.resourceVersion
      if (isChange(type)) tell({type, object: withKind(object, query)}, told, options)
    }
  } catch (error) {
    if (limit.aborted && !signal.aborted) return version
    throw error
  }
  return version
}

/** What stands between may answer in the server's place. */
function parsePage(body: string, query: WatchQuery): z.output<typeof pageSchema> {
  try {
    return pageSchema.parse(JSON.parse(body))
  } catch (error) {
    throw new KubernetesError('API_UNREACHABLE', `the answer to listing ${query.kind} is no list`, {
      cause: error,
    })
  }
}

/** The last line of a connection that broke may be cut off: then it is followed again. */
function parseLine(line: string, query: WatchQuery): z.output<typeof lineSchema> {
  try {
    return lineSchema.parse(JSON.parse(line))
  } catch (error) {
    throw new KubernetesError('API_UNREACHABLE', `the watch of ${query.kind} broke off in a line`, {
      cause: error,
    })
  }
}

const isChange = (type: string): type is WatchEvent['type'] =>
  type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED'

const silent = (query: WatchQuery): KubernetesError =>
  new KubernetesError('API_UNREACHABLE', `the watch of ${query.kind} went silent`)

function tell(event: WatchEvent, told: Told, {onEvent}: WatchOptions): void {
  if (event.type === 'DELETED') told.delete(keyOf(event.object))
  else told.set(keyOf(event.object), event.object)
  onEvent(event)
}

function selection(query: WatchQuery, parameters: Readonly<Record<string, string>>): string {
  const {labelSelector, fieldSelector} = query
  return new URLSearchParams({
    ...parameters,
    ...(labelSelector === undefined ? {} : {labelSelector}),
    ...(fieldSelector === undefined ? {} : {fieldSelector}),
  }).toString()
}

const withKind = (item: object, {apiVersion, kind}: WatchQuery): KubeObject =>
  kubeObjectSchema.parse({apiVersion, kind, ...item})

const keyOf = ({metadata}: KubeObject): string => `${metadata.namespace ?? ''}/${metadata.name}`
const versionOf = ({metadata}: KubeObject): unknown => metadata.resourceVersion
