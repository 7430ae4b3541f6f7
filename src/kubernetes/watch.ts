import {z} from 'zod'
import {KubernetesError} from './errors.ts'
import {pauseQuietly} from '../base/waiting.ts'
import {apiError} from './answers.ts'
import {selection} from './list.ts'
import type {StreamAnswer, Transport} from './transport.ts'
import type {ListQuery, WatchEvent} from './types.ts'

/** After so long, chosen anew for each, the server ends a watch by itself. */
const SECONDS = {least: 300, most: 600} as const
const INITIAL_END = 'k8s.io/initial-events-end'

const lineSchema = z.looseObject({
  type: z.string(),
  object: z.looseObject({
    code: z.int().optional(),
    metadata: z
      .looseObject({
        resourceVersion: z.string().optional(),
        annotations: z.record(z.string(), z.unknown()).optional(),
      })
      .default({}),
  }),
})
type Line = z.output<typeof lineSchema>

export interface Connection {
  readonly transport: Transport
  /** Of the collection. */
  readonly path: string
  readonly query: ListQuery
  /** Undefined: everything there is comes first, as ADDED, up to a bookmark that says so. */
  readonly from: string | undefined
  readonly idleMs: number
  readonly signal: AbortSignal
}

/** What one line of a watch tells; its object is as it came, and may be none. */
export interface WatchLine {
  readonly type: WatchEvent['type'] | 'BOOKMARK'
  readonly object: Line['object']
  /** A bookmark: everything there was has been told. */
  readonly isInitialEnd: boolean
}

/** Nothing was heard of a connection for too long. */
export class SilentError extends KubernetesError {
  constructor(kind: string, idleMs: number) {
    super('API_UNREACHABLE', `the watch of ${kind} received nothing for ${idleMs / 1000} s`)
  }
}

/**
 * Follows one connection to its end. `onOpen`: the server has accepted it. Throws KubernetesError: a refusal, also as
 * an ERROR event, with its status; a connection that breaks; SilentError.
 */
export async function* watchOnce(connection: Connection, onOpen: () => void): AsyncGenerator<WatchLine> {
  const {query, idleMs, signal} = connection
  const silence = new Silence(idleMs)
  try {
    const answer = await connect(connection, AbortSignal.any([signal, silence.signal]))
    if (answer.status !== 200) throw await refusal(answer, query)
    onOpen()
    for await (const text of answer.lines) {
      silence.hear()
      const {type, object} = parseLine(text, query)
      if (type === 'ERROR')
        throw apiError({status: object.code ?? 500, body: JSON.stringify(object)}, `watch ${query.kind}`)
      if (!isKnown(type)) continue
      yield {type, object, isInitialEnd: object.metadata.annotations?.[INITIAL_END] === 'true'}
    }
  } catch (error) {
    throw silence.signal.aborted && !signal.aborted ? new SilentError(query.kind, idleMs) : error
  } finally {
    silence.end()
  }
}

/** Its signal is aborted when nothing is heard for so long. */
class Silence {
  readonly #silent = new AbortController()
  readonly #ended = new AbortController()
  #heardAtMs = performance.now()

  constructor(idleMs: number) {
    void this.#listen(idleMs)
  }

  get signal(): AbortSignal {
    return this.#silent.signal
  }

  hear(): void {
    this.#heardAtMs = performance.now()
  }

  end(): void {
    this.#ended.abort()
  }

  async #listen(idleMs: number): Promise<void> {
    while (!this.#ended.signal.aborted) {
      const leftMs = this.#heardAtMs + idleMs - performance.now()
      if (leftMs > 0) await pauseQuietly(leftMs, this.#ended.signal)
      else {
        this.#silent.abort()
        return
      }
    }
  }
}

function connect({transport, path, query, from}: Connection, signal: AbortSignal): Promise<StreamAnswer> {
  const seconds = SECONDS.least + Math.random() * (SECONDS.most - SECONDS.least)
  const parameters = {
    watch: '1',
    allowWatchBookmarks: 'true',
    timeoutSeconds: String(Math.round(seconds)),
    ...(from === undefined
      ? {sendInitialEvents: 'true', resourceVersionMatch: 'NotOlderThan'}
      : {resourceVersion: from}),
  }
  return transport.stream(`${path}?${selection(query, parameters)}`, signal)
}

async function refusal(answer: StreamAnswer, {kind}: ListQuery): Promise<KubernetesError> {
  let body = ''
  for await (const line of answer.lines) body += line
  const {status, retryAfterMs} = answer
  return apiError({status, body, ...(retryAfterMs === undefined ? {} : {retryAfterMs})}, `watch ${kind}`)
}

/** The last line of a connection that broke may be cut off: then it is followed again. */
function parseLine(text: string, {kind}: ListQuery): Line {
  try {
    return lineSchema.parse(JSON.parse(text))
  } catch (error) {
    throw new KubernetesError('API_UNREACHABLE', `the watch of ${kind} ended in the middle of a line`, {
      cause: error,
    })
  }
}

const isKnown = (type: string): type is WatchLine['type'] =>
  type === 'ADDED' || type === 'MODIFIED' || type === 'DELETED' || type === 'BOOKMARK'
