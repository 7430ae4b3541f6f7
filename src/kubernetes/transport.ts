import {Agent, request, type AgentOptions, type RequestOptions} from 'node:https'
import type {ClientRequest, IncomingMessage} from 'node:http'
import {createInterface} from 'node:readline'
import {isDeepStrictEqual} from 'node:util'
import {KubernetesError} from './errors.ts'
import {TunnelAgent, type Proxy} from './tunnel.ts'
import type {HttpAnswer} from './types.ts'

const REQUEST_TIMEOUT_MS = 30_000
/** Every certificate of a kubeadm API server carries it, so that the address need not be one of the certificate's. */
export const SERVER_NAME = 'kubernetes'

export interface Call {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly path: string
  readonly body?: string
  readonly contentType?: string
  readonly signal?: AbortSignal | undefined
  readonly timeoutMs?: number
}

/** Who we are in one call. PEM. */
export interface Identity {
  readonly cert?: string | undefined
  readonly key?: string | undefined
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
}

/** Where an API server is and who we are there. */
export interface Server {
  readonly host: string
  readonly port: number
  /** In front of every path: `/k8s/clusters/c-1`. Default: none. */
  readonly basePath?: string
  readonly ca: string | undefined
  /** Name in the server's certificate and in SNI, '' for that of an address. Default: SERVER_NAME. */
  readonly serverName?: string
  /** Accepts any certificate of the server. */
  readonly insecure?: boolean
  readonly proxy?: Proxy | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /**
   * Called before each call, as tokens change, and once more with the identity that the server answered with 401 to:
   * the call is repeated if there is another one then.
   */
  readonly identity?: (refused?: Identity) => Promise<Identity>
}

export interface StreamAnswer {
  readonly status: number
  readonly retryAfterMs?: number
  /** Ends with the connection; throws when that breaks or when the signal is aborted. */
  readonly lines: AsyncIterable<string>
}

/** HTTPS to one API server. Throws KubernetesError API_UNREACHABLE for a call without an answer. */
export interface Transport {
  /** Ends every call. */
  readonly signal: AbortSignal
  send(call: Call): Promise<HttpAnswer>
  /** A GET whose answer comes line by line for as long as `signal` lets it. */
  stream(path: string, signal: AbortSignal): Promise<StreamAnswer>
  close(): void
}

export function openTransport(server: Server, signal: AbortSignal): Transport {
  const tls = {
    servername: server.serverName ?? SERVER_NAME,
    ...(server.insecure === true ? {rejectUnauthorized: false} : {}),
    ...present({ca: server.ca, cert: server.cert, key: server.key}),
  }
  const agentOf = (options: AgentOptions): Agent =>
    server.proxy === undefined ? new Agent(options) : new TunnelAgent(options, server.proxy)
  const calls = agentOf({keepAlive: true, maxSockets: 16, ...tls})
  // Watches hold their connections: they have no share in the sockets of calls.
  const streams = agentOf({keepAlive: false, ...tls})
  return {
    signal,
    send: (call) => send(call, {server, agent: calls, signal}),
    stream: (path, ended) => stream(path, {server, agent: streams, signal: AbortSignal.any([signal, ended])}),
    close: () => {
      calls.destroy()
      streams.destroy()
    },
  }
}

/** Without the members that are undefined. */
function present<K extends string>(
  value: Readonly<Record<K, string | undefined>>,
): Partial<Record<K, string>> {
  const result: Partial<Record<K, string>> = {}
  for (const key in value) {
    const item = value[key]
    if (item !== undefined) result[key] = item
  }
  return result
}

interface Way {
  readonly server: Server
  readonly agent: Agent
  readonly signal: AbortSignal
}

async function send(call: Call, way: Way): Promise<HttpAnswer> {
  const stops = [way.signal, ...(call.signal ? [call.signal] : [])]
  const stop = AbortSignal.any(stops)
  let identity = await identityOf(way.server, stop)
  // Logging in has a limit of its own.
  const signal = AbortSignal.any([AbortSignal.timeout(call.timeoutMs ?? REQUEST_TIMEOUT_MS), stop])
  for (let refused = false; ;) {
    const answer = await answered(requestOptions(call, way, identity, signal), call, stops)
    if (answer === 'stale') continue
    const {response, chunks} = answer
    if (response.statusCode === 401 && !refused) {
      refused = true
      const other = await identityOf(way.server, stop, identity)
      if (!isDeepStrictEqual(other, identity)) {
        identity = other
        continue
      }
    }
    const body = Buffer.concat(chunks).toString('utf8')
    return {status: response.statusCode ?? 0, body, ...waitAsked(response)}
  }
}

/** Kubernetes gives whole seconds (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after allows a date as well). */
function waitAsked({headers}: IncomingMessage): {readonly retryAfterMs?: number} {
  const header = headers['retry-after']
  return header !== undefined && /^\d{1,6}$/.test(header) ? {retryAfterMs: Number(header) * 1000} : {}
}

/** An end of the signal ends the wait alone: others may wait for the same identity. */
async function identityOf({identity}: Server, signal: AbortSignal, refused?: Identity): Promise<Identity> {
  signal.throwIfAborted()
  if (identity === undefined) return {}
  const over = Promise.withResolvers<never>()
  const end = (): void => over.reject(signal.reason)
  signal.addEventListener('abort', end)
  try {
    return await Promise.race([identity(refused), over.promise])
  } finally {
    signal.removeEventListener('abort', end)
  }
}

function answered(
  options: RequestOptions,
  call: Call,
  stops: readonly AbortSignal[],
): Promise<{response: IncomingMessage; chunks: readonly Buffer[]} | 'stale'> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void =>
      reject(stops.some(({aborted}) => aborted) ? error : unreachable(call, error))
    const outgoing = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', fail)
      response.on('end', () => resolve({response, chunks}))
    })
    outgoing.on('error', (error) => {
      if (isStale(call, outgoing, error)) resolve('stale')
      else fail(error)
    })
    outgoing.end(call.body)
  })
}

/**
 * Whether a connection that was kept had been closed by the other side meanwhile, so that the question was never read
 * (https://nodejs.org/api/http.html#requestreusedsocket). What would change something is not asked again all the same.
 */
const isStale = (call: Call, {reusedSocket}: ClientRequest, error: Error): boolean =>
  call.method === 'GET' && reusedSocket && 'code' in error && error.code === 'ECONNRESET'

async function stream(path: string, way: Way): Promise<StreamAnswer> {
  const call: Call = {method: 'GET', path}
  const identity = await identityOf(way.server, way.signal)
  const first = await begun(call, way, identity)
  if (first.statusCode !== 401) return streamed(first, call, way)
  const other = await identityOf(way.server, way.signal, identity)
  if (isDeepStrictEqual(other, identity)) return streamed(first, call, way)
  first.destroy()
  return streamed(await begun(call, way, other), call, way)
}

const streamed = (response: IncomingMessage, call: Call, way: Way): StreamAnswer => ({
  status: response.statusCode ?? 0,
  ...waitAsked(response),
  lines: linesOf(response, call, way.signal),
})

/** The answer as it begins. */
async function begun(call: Call, way: Way, identity: Identity): Promise<IncomingMessage> {
  const limit = new AbortController()
  const timer = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  const tooLate = (): void => limit.abort(timer.reason)
  timer.addEventListener('abort', tooLate)
  const options = requestOptions(call, way, identity, AbortSignal.any([way.signal, limit.signal]))
  try {
    return await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing: ClientRequest = request(options, resolve)
      outgoing.on('error', (error) => reject(way.signal.aborted ? error : unreachable(call, error)))
      outgoing.end()
    })
  } finally {
    timer.removeEventListener('abort', tooLate)
  }
}

async function* linesOf(response: IncomingMessage, call: Call, signal: AbortSignal): AsyncIterable<string> {
  const broken: Error[] = []
  response.on('error', (error) => broken.push(error))
  try {
    for await (const line of createInterface({input: response, crlfDelay: Infinity})) {
      signal.throwIfAborted()
      if (line !== '') yield line
    }
  } catch (error) {
    signal.throwIfAborted()
    throw unreachable(call, error instanceof Error ? error : new Error(String(error)))
  } finally {
    response.destroy()
  }
  signal.throwIfAborted()
  // Some breaks end the lines quietly.
  const [error] = broken
  if (error !== undefined) throw unreachable(call, error)
}

function requestOptions(call: Call, way: Way, identity: Identity, signal: AbortSignal): RequestOptions {
  const {host, port, basePath} = way.server
  const body =
    call.body === undefined
      ? {}
      : {
          'content-type': call.contentType ?? 'application/json',
          'content-length': Buffer.byteLength(call.body),
        }
  return {
    host,
    port,
    agent: way.agent,
    // The agent shares no connection between two client certificates.
    ...present({cert: identity.cert, key: identity.key}),
    method: call.method,
    path: `${basePath ?? ''}${call.path}`,
    signal,
    headers: {accept: 'application/json', ...body, ...identity.headers},
  }
}

const unreachable = (call: Call, error: Error): KubernetesError =>
  new KubernetesError(
    'API_UNREACHABLE',
    `the API server did not respond to ${call.method} ${call.path}: ${error.message}`,
    {cause: error},
  )
