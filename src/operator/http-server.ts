import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import {createServer as createNetServer, type Socket} from 'node:net'
import type {Duplex} from 'node:stream'
import type {Registry} from 'prom-client'
import type {Health} from './health.ts'
import type {Log} from './log.ts'
import {peerServer, type AnsweringKey} from './peer-tls.ts'

/** False: it is not for it to answer. */
export type HttpAnswer = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>

/** Goes on with a connection that asks for another protocol. False: it is not for it to answer. */
export type HttpUpgrade = (request: IncomingMessage, socket: Duplex) => Promise<boolean>

export interface HttpOptions {
  readonly health: Health
  readonly registry: Pick<Registry, 'metrics' | 'contentType'>
  /** What only those are answered who have the key of the programs, by TLS. */
  readonly peers?: {
    readonly key: AnsweringKey
    readonly answer: HttpAnswer
    /** Of requests for another protocol; default: they are refused. */
    readonly upgrade?: HttpUpgrade
  }
  /** Connections of another kind, which neither HTTP nor TLS could begin as they do. */
  readonly others?: {
    readonly firstByte: number
    /** Takes a connection, paused, with what was read of it. */
    readonly take: (socket: Socket, bytes: Buffer) => void
  }
  readonly log: Log
}

export interface HttpServer {
  readonly port: number
  close(): void
}

/** First byte of a connection by TLS. */
const HANDSHAKE = 22
const FIRST_BYTE_MS = 10_000

/**
 * The one port of a program: /healthz, /readyz and /metrics in clear, to everybody, and by TLS what its peers are
 * answered. Resolves once it listens.
 */
export async function serveHttp(port: number, options: HttpOptions): Promise<HttpServer> {
  const {log, peers, others} = options
  const open = createServer(answered(openAnswer(options), log))
  const secret =
    peers === undefined
      ? undefined
      : peerServer(
          peers.key,
          answered(peers.answer, log),
          peers.upgrade === undefined ? undefined : upgraded(peers.upgrade, log),
        )
  const connected = new Set<Socket>()
  const server = createNetServer((socket) => {
    connected.add(socket)
    socket.once('close', () => connected.delete(socket))
    socket.setTimeout(FIRST_BYTE_MS, () => socket.destroy())
    socket.once('error', () => socket.destroy())
    socket.once('data', (bytes) => {
      socket.setTimeout(0)
      if (others !== undefined && bytes[0] === others.firstByte) {
        socket.pause()
        others.take(socket, bytes)
      } else handOver(socket, bytes, secret !== undefined && bytes[0] === HANDSHAKE ? secret : open)
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close() {
      server.close()
      for (const socket of connected) socket.destroy()
    },
  }
}

const openAnswer =
  ({health, registry}: HttpOptions): HttpAnswer =>
  async ({url}, response) => {
    const tell = (problem: string | undefined): void =>
      void response.writeHead(problem === undefined ? 200 : 503).end(`${problem ?? 'ok'}\n`)
    if (url === '/healthz') tell(health.problem())
    else if (url === '/readyz') tell(health.problem() ?? health.unready())
    else if (url === '/metrics')
      response.setHeader('content-type', registry.contentType).end(await registry.metrics())
    else return false
    return true
  }

/** As if it had come to that server, with what was read of it. */
function handOver(socket: Socket, bytes: Uint8Array, to: ReturnType<typeof createServer>): void {
  socket.pause()
  socket.unshift(bytes)
  to.emit('connection', socket)
  process.nextTick(() => socket.resume())
}

const answered =
  (answer: HttpAnswer, log: Log) =>
  (request: IncomingMessage, response: ServerResponse): void => {
    answer(request, response).then(
      (taken) => taken || response.writeHead(404).end(),
      (error: unknown) => {
        log('warn', 'request failed', {url: request.url, error: String(error)})
        if (response.headersSent) response.destroy()
        else response.writeHead(500).end()
      },
    )
  }

const upgraded =
  (upgrade: HttpUpgrade, log: Log) =>
  (request: IncomingMessage, socket: Duplex): void => {
    socket.on('error', () => socket.destroy())
    upgrade(request, socket).then(
      (taken) => taken || socket.end('HTTP/1.1 404 Not Found\r\nConnection: close\r\n\r\n'),
      (error: unknown) => {
        log('warn', 'request failed', {url: request.url, error: String(error)})
        socket.destroy()
      },
    )
  }
