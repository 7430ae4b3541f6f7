import {Agent, request, type RequestOptions} from 'node:https'
import type {ClientRequest, IncomingMessage} from 'node:http'
import {createInterface} from 'node:readline'
import {KubernetesError} from '../base/errors.ts'
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

/** Where an API server is and who we are there. */
export interface Server {
  readonly host: string
  readonly port: number
  readonly ca: string | undefined
  readonly cert?: string | undefined
  readonly key?: string | undefined
  /** Asked before each call: a service account's token changes. */
  readonly token?: () => Promise<string>
}

export interface StreamAnswer {
  readonly status: number
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
  const tls = {servername: SERVER_NAME, ...present({ca: server.ca, cert: server.cert, key: server.key})}
  const calls = new Agent({keepAlive: true, maxSockets: 16, ...tls})
  // Watches hold their connections: they have no share in the sockets of calls.
  const streams = new Agent({keepAlive: false, ...tls})
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
  const limit = AbortSignal.timeout(call.timeoutMs ?? REQUEST_TIMEOUT_MS)
  const stops = [way.signal, ...(call.signal ? [call.signal] : [])]
  const signal = AbortSignal.any([limit, ...stops])
  for (;;) {
    const answer = await answered(call, way, signal, stops)
    if (answer === 'stale') continue
    const {response, chunks} = answer
    const retryAfterMs = waitAsked(response.headers['retry-after'])
    return {
      status: response.statusCode ?? 0,
      body: Buffer.concat(chunks).toString('utf8'),
      ...(retryAfterMs === undefined ? {} : {retryAfterMs}),
    }
  }
}

/** Kubernetes gives whole seconds (https://www.rfc-editor.org/rfc/rfc9110#field.retry-after allows a date as well). */
const waitAsked = (header: string | undefined): number | undefined =>
  header !== undefined && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined

async function answered(
  call: Call,
  way: Way,
  signal: AbortSignal,
  stops: readonly AbortSignal[],
): Promise<{response: IncomingMessage; chunks: readonly Buffer[]} | 'stale'> {
  const options = await requestOptions(call, way, signal)
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
  const limit = new AbortController()
  const timer = AbortSignal.timeout(REQUEST_TIMEOUT_MS)
  const tooLate = (): void => limit.abort(timer.reason)
  timer.addEventListener('abort', tooLate)
  const options = await requestOptions(call, way, AbortSignal.any([way.signal, limit.signal]))
  try {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const outgoing: ClientRequest = request(options, resolve)
      outgoing.on('error', (error) => reject(way.signal.aborted ? error : unreachable(call, error)))
      outgoing.end()
    })
    return {status: response.statusCode ?? 0, lines: linesOf(response, call, way.signal)}
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

async function requestOptions(call: Call, way: Way, signal: AbortSignal): Promise<RequestOptions> {
  const {host, port, token} = way.server
  const body =
    call.body === undefined
      ? {}
      : {
          'content-type': call.contentType ?? 'application/json',
          'content-length': Buffer.byteLength(call.body),
        }
  const bearer = token === undefined ? {} : {authorization: `Bearer ${await token()}`}
  return {
    host,
    port,
    agent: way.agent,
    method: call.method,
    path: call.path,
    signal,
    headers: {accept: 'application/json', ...body, ...bearer},
  }
}

const unreachable = (call: Call, error: Error): KubernetesError =>
  new KubernetesError(
    'API_UNREACHABLE',
    `the API server did not answer ${call.method} ${call.path}: ${error.message}`,
    {cause: error},
  )
