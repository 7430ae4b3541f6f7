import type {IncomingMessage, ServerResponse} from 'node:http'
import {Agent, request} from 'node:https'
import {createInterface} from 'node:readline'
import {currentCredentials} from '../../src/kubernetes/kubeconfig.ts'
import {openTransport, SERVER_NAME, type Transport} from '../../src/kubernetes/transport.ts'
import {withTlsServer} from './with-tls-server.ts'

/** Stands between a client and a real API server, whose administrator it is there. */
export interface ApiFront {
  /** To the API server, through this front. */
  readonly transport: Transport
  /** Paths that were asked for, with their parameters, in order. */
  readonly asked: string[]
  /** The path to ask the server for in the place of this one. Default: the same. */
  onward: (path: string) => string | Promise<string>
  /** Further headers for the server: it may let the administrator be somebody else. */
  headers: Readonly<Record<string, string>>
  /** Answers in the server's place; false: does not. */
  instead: (path: string, response: ServerResponse) => boolean
  /** What becomes of a line of a watch; undefined: it is swallowed. Default: the same. */
  line: (line: string) => string | undefined
  /** From now on nothing is heard of the connections there are, and they stay open; new ones pass. */
  freeze(): void
  /** Ends the answers that are under way as a server does that has nothing more to say. */
  end(): void
  /** Breaks the connections there are. */
  cut(): void
}

export async function withApiFront(
  api: {readonly kubeconfig: string; readonly port: number},
  use: (front: ApiFront, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const agent = new Agent({keepAlive: true, ...currentCredentials(api.kubeconfig), servername: SERVER_NAME})
  const open = new Set<Exchange>()
  const over = new AbortController()
  const listener = async (incoming: IncomingMessage, outgoing: ServerResponse): Promise<void> => {
    const path = incoming.url ?? '/'
    front.asked.push(path)
    if (front.instead(path, outgoing)) return
    const exchange = {outgoing, isFrozen: false}
    open.add(exchange)
    outgoing.once('close', () => open.delete(exchange))
    const target = {host: '127.0.0.1', port: api.port, path: await front.onward(path), agent}
    const onward = request(
      {...target, method: incoming.method, headers: {...incoming.headers, ...front.headers}},
      (found) => passOn(found, exchange, path.includes('watch=1') ? (line) => front.line(line) : undefined),
    )
    onward.once('error', () => outgoing.destroy())
    outgoing.once('close', () => onward.destroy())
    incoming.pipe(onward)
  }
  let front: ApiFront
  await withTlsServer(
    SERVER_NAME,
    (incoming, outgoing) => void listener(incoming, outgoing),
    async ({port, ca}) => {
      const transport = openTransport({host: '127.0.0.1', port, ca}, over.signal)
      front = {
        transport,
        asked: [],
        onward: (path) => path,
        headers: {},
        instead: () => false,
        line: (line) => line,
        freeze: () => open.forEach((exchange) => (exchange.isFrozen = true)),
        end: () => open.forEach(({outgoing}) => outgoing.end()),
        cut: () => open.forEach(({outgoing}) => outgoing.socket?.destroy()),
      }
      try {
        await use(front, over.signal)
      } finally {
        over.abort()
        transport.close()
        agent.destroy()
      }
    },
  )
}

interface Exchange {
  readonly outgoing: ServerResponse
  isFrozen: boolean
}

function passOn(
  found: IncomingMessage,
  exchange: Exchange,
  change: ((line: string) => string | undefined) | undefined,
): void {
  const {outgoing} = exchange
  outgoing.writeHead(found.statusCode ?? 502, found.headers)
  outgoing.flushHeaders()
  found.once('error', () => outgoing.destroy())
  if (change === undefined) {
    found.pipe(outgoing)
    return
  }
  const lines = createInterface({input: found, crlfDelay: Infinity})
  lines.on('line', (line) => {
    const next = change(line)
    if (next !== undefined && !exchange.isFrozen && outgoing.writable) outgoing.write(`${next}\n`)
  })
  // Told of by what it reads from.
  lines.on('error', () => undefined)
  lines.once('close', () => {
    if (!exchange.isFrozen) outgoing.end()
  })
}
