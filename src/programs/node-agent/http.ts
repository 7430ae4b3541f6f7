import {createServer, type IncomingMessage, type ServerResponse} from 'node:http'
import {createServer as createNetServer, type Socket} from 'node:net'
import {peerServer, type AnsweringKey} from '../../checkpoint/peer-tls.ts'
import type {Log} from '../../operator/log.ts'
import type {Metrics} from './metrics.ts'

/** False: it is not for it to answer. */
type Answer = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>

export interface HttpOptions {
  readonly metrics: Metrics
  /** Why the agent cannot work; undefined: it can. */
  readonly problem: () => string | undefined
  /** What the agents and the controller share. */
  readonly key: AnsweringKey
  /** What only they are answered. */
  readonly answerPeer: Answer
  readonly log: Log
}

export interface AgentHttp {
  readonly port: number
  close(): void
}

/** First byte of a connection by TLS. */
const HANDSHAKE = 22
const FIRST_BYTE_MS = 10_000

/**
 * One port for both: /healthz and /metrics in clear, to everybody, and by TLS what only those are answered who have the
 * key. Resolves once it listens.
 */
export async function serveHttp(port: number, options: HttpOptions): Promise<AgentHttp> {
  const {metrics, problem, key, answerPeer, log} = options
  const open = createServer(
    answered(async (request, response) => {
      const why = problem()
      if (request.url === '/healthz')
        response.writeHead(why === undefined ? 200 : 503).end(`${why ?? 'ok'}\n`)
      else if (request.url === '/metrics')
        response.setHeader('content-type', metrics.contentType).end(await metrics.text())
      else return false
      return true
    }, log),
  )
  const peers = peerServer(key, answered(answerPeer, log))
  const connected = new Set<Socket>()
  const server = createNetServer((socket) => {
    connected.add(socket)
    socket.once('close', () => connected.delete(socket))
    socket.setTimeout(FIRST_BYTE_MS, () => socket.destroy())
    socket.once('error', () => socket.destroy())
    socket.once('data', (bytes) => {
      socket.setTimeout(0)
      handOver(socket, bytes, bytes[0] === HANDSHAKE ? peers : open)
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

/** As if it had come to that server, with what was read of it. */
function handOver(socket: Socket, bytes: Uint8Array, to: ReturnType<typeof createServer>): void {
  socket.pause()
  socket.unshift(bytes)
  to.emit('connection', socket)
  process.nextTick(() => socket.resume())
}

const answered =
  (answer: Answer, log: Log) =>
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
