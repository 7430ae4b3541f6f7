import {once} from 'node:events'
import {createServer, type IncomingHttpHeaders, type IncomingMessage, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

export interface HeldRequest {
  readonly method: string
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer<ArrayBuffer>
}

export interface GivenAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body?: string
}

/** What a service makes of what it is sent; absent: what the server behind makes of it. */
export interface Lie {
  /** Answers itself; undefined: the server behind does. */
  readonly answer?: (request: HeldRequest) => GivenAnswer | undefined
  /** What the server behind gets instead. */
  readonly request?: (request: HeldRequest) => HeldRequest
  /** Headers of an answer, instead of those of the server behind. */
  readonly headers?: (request: HeldRequest, headers: Headers) => void
}

/** A front of an HTTP server, on this machine, that holds each request whole, and need not be honest. */
export interface LyingFront extends AsyncDisposable {
  /** `http://127.0.0.1:34567`. */
  readonly origin: string
  readonly seen: readonly HeldRequest[]
  lie: Lie
}

export async function lyingFront(target: string): Promise<LyingFront> {
  const seen: HeldRequest[] = []
  const server = createServer((incoming, outgoing) => {
    void held(incoming)
      .then(async (request) => {
        seen.push(request)
        await answer(request, {lie: front.lie, target, outgoing})
      })
      .catch(() => incoming.socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const front: LyingFront = {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    seen,
    lie: {},
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
  return front
}

async function held(incoming: IncomingMessage): Promise<HeldRequest> {
  const pieces: Buffer[] = []
  for await (const piece of incoming as AsyncIterable<Buffer>) pieces.push(piece)
  const {method = 'GET', url: path = '/', headers} = incoming
  return {method, path, headers, body: Buffer.concat(pieces)}
}

async function answer(
  request: HeldRequest,
  {lie, target, outgoing}: {readonly lie: Lie; readonly target: string; readonly outgoing: ServerResponse},
): Promise<void> {
  const own = lie.answer?.(request)
  if (own !== undefined) {
    outgoing.writeHead(own.status, own.headers).end(own.body)
    return
  }
  const {method, path, headers, body} = lie.request?.(request) ?? request
  const passed = new Headers()
  for (const [name, value] of Object.entries(headers))
    if (!['connection', 'expect', 'content-length', 'transfer-encoding'].includes(name))
      passed.set(name, String(value))
  const given = method === 'GET' || method === 'HEAD' ? {} : {body}
  const found = await fetch(new URL(path, target), {method, headers: passed, ...given, redirect: 'manual'})
  const shown = new Headers(found.headers)
  // An upload to a registry goes on where it says.
  const location = shown.get('location')
  if (location !== null) shown.set('location', location.replace(target, `http://${headers.host ?? ''}`))
  lie.headers?.(request, shown)
  outgoing.writeHead(found.status, Object.fromEntries(shown))
  outgoing.end(Buffer.from(await found.arrayBuffer()))
}
