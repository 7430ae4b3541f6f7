import {z} from 'zod'
import {KubernetesError, type ApiAnswer} from './errors.ts'
import {pauseQuietly} from '../base/waiting.ts'
import {listAll} from './list.ts'
import {Mirror} from './mirror.ts'
import {sendRepeatedly} from './repeat.ts'
import type {Transport} from './transport.ts'
import type {WatchEvent, WatchQuery, WatchState} from './types.ts'
import {SilentError, watchOnce, type Connection} from './watch.ts'

export interface ReflectorOptions {
  readonly transport: Transport
  /** Path of the collection; undefined: the kind is not served. `afresh`: what is remembered of it may be wrong. */
  readonly collection: (afresh: boolean) => Promise<string | undefined>
  readonly query: WatchQuery
  readonly onEvent: (event: WatchEvent) => void
  readonly signal: AbortSignal
  /** Default: TIMES. */
  readonly times?: Partial<ReflectorTimes>
}

export interface ReflectorTimes {
  /** So long nothing is heard of a connection, bookmarks included, before it counts as dead. */
  readonly idleMs: number
  readonly firstPauseMs: number
  readonly mostPauseMs: number
  /** Between two looks whether one may read by now. */
  readonly forbiddenMs: number
  /** Between two looks whether the kind is served by now, at most. */
  readonly absentMs: number
  /** So long a server that answers with older versions only is taken for one that lags behind. */
  readonly lagMs: number
}

/** Bookmarks come about once a minute. */
export const TIMES: ReflectorTimes = {
  idleMs: 90_000,
  firstPauseMs: 200,
  mostPauseMs: 30_000,
  forbiddenMs: 60_000,
  absentMs: 5_000,
  lagMs: 60_000,
}

/**
 * Tells what there is of a kind, then each change, until the signal is aborted. Goes on from the last version that it
 * heard of; lists again what the server has forgotten, and tells the difference.
 */
export async function reflect(options: ReflectorOptions): Promise<void> {
  const {signal} = options
  const reflector = new Reflector(options)
  while (!signal.aborted) await reflector.connect()
}

class Reflector {
  readonly #options: ReflectorOptions
  readonly #times: ReflectorTimes
  readonly #mirror: Mirror
  #state: WatchState = 'syncing'
  /** The server gives what there is as first events of a watch. */
  #canWatchLists = true
  /** The path of the collection is to be looked up again. */
  #isLost = false
  #failures = 0

  constructor(options: ReflectorOptions) {
    const {query, onEvent} = options
    this.#options = options
    this.#times = {...TIMES, ...options.times}
    this.#mirror = new Mirror({query, onEvent, lagMs: this.#times.lagMs})
    query.onState?.(this.#state)
  }

  /** One connection, from its beginning to its end, and the pause after one that failed. */
  async connect(): Promise<void> {
    const {collection, query, signal} = this.#options
    query.onAlive?.()
    try {
      const path = await collection(this.#isLost)
      this.#isLost = false
      if (path === undefined) {
        this.#enter('absent')
        query.onProblem?.(new KubernetesError('NOT_READY', `${query.kind} is not served yet`))
        await this.#pause(this.#times.absentMs)
        return
      }
      if (!this.#mirror.isCurrent && !this.#canWatchLists) await this.#list(path)
      await this.#follow(path)
    } catch (error) {
      if (signal.aborted) return
      await this.#recover(error instanceof Error ? error : new Error(String(error)))
    }
  }

  async #list(path: string): Promise<void> {
    const {transport, query, signal} = this.#options
    const send = (call: Parameters<typeof sendRepeatedly>[1]) => sendRepeatedly(transport, {...call, signal})
    const {items, resourceVersion} = await listAll({path, query, send})
    this.#mirror.begin()
    for (const item of items) this.#mirror.add(item)
    this.#mirror.complete(resourceVersion)
  }

  async #follow(path: string): Promise<void> {
    const {transport, query, signal} = this.#options
    const isWhole = !this.#mirror.isCurrent
    if (isWhole) this.#mirror.begin()
    const connection: Connection = {
      transport,
      path,
      query,
      from: isWhole ? undefined : this.#mirror.version,
      idleMs: this.#times.idleMs,
      signal,
    }
    const startedMs = performance.now()
    let events = 0
    const onOpen = (): void => {
      if (!isWhole) this.#enter('live')
    }
    for await (const {type, object, isInitialEnd} of watchOnce(connection, onOpen)) {
      events += 1
      query.onAlive?.()
      const {resourceVersion} = object.metadata
      if (type !== 'BOOKMARK') {
        if (this.#mirror.isCurrent) this.#mirror.change(type, object)
        else this.#mirror.add(object, type)
      } else if (this.#mirror.isCurrent) this.#mirror.reach(resourceVersion)
      else if (isInitialEnd) {
        this.#mirror.complete(resourceVersion)
        this.#enter('live')
      }
      if (this.#mirror.isCurrent) this.#failures = 0
    }
    signal.throwIfAborted()
    // The server ends each watch by itself after minutes: it is gone on with from the last version.
    if (!this.#mirror.isCurrent || (events === 0 && performance.now() - startedMs < 1_000))
      throw new KubernetesError('API_UNREACHABLE', `the watch of ${query.kind} ended immediately`)
  }

  async #recover(error: Error): Promise<void> {
    const {answer} = error instanceof KubernetesError ? error : {answer: undefined}
    const status = answer?.status
    const isWhole = !this.#mirror.isCurrent
    // What an API server says that does not know the parameters of a list by watch.
    if (isWhole && this.#canWatchLists && (status === 400 || status === 422)) {
      this.#canWatchLists = false
      return
    }
    // One that ignores them sends no end of what there is.
    if (isWhole && error instanceof SilentError) this.#canWatchLists = false
    if (status === 410 || isAhead(answer)) this.#mirror.expire()
    if (status === 404) this.#isLost = true
    this.#options.query.onProblem?.(error)
    if (status === 403) {
      this.#enter('forbidden')
      await this.#pause(this.#times.forbiddenMs)
      return
    }
    this.#enter(this.#mirror.isSynced ? 'stale' : 'syncing')
    const {firstPauseMs, mostPauseMs} = this.#times
    const pauseMs = Math.min(firstPauseMs * 2 ** this.#failures, mostPauseMs)
    this.#failures += 1
    await this.#pause(pauseMs, answer?.retryAfterMs)
  }

  /** Not all at the same time: those who lost one server would meet at the next. */
  #pause(ms: number, leastMs = 0): Promise<void> {
    return pauseQuietly(Math.max(ms * (0.5 + Math.random()), leastMs), this.#options.signal)
  }

  #enter(state: WatchState): void {
    if (state === this.#state) return
    this.#state = state
    this.#options.query.onState?.(state)
  }
}

const causesSchema = z.looseObject({causes: z.array(z.looseObject({reason: z.string().optional()}))})

/** Whether the server has not reached the version that was asked for: it may have been restored from a backup. */
function isAhead(answer: ApiAnswer | undefined): boolean {
  const {data} = causesSchema.safeParse(answer?.details)
  return data?.causes.some(({reason}) => reason === 'ResourceVersionTooLarge') === true
}
