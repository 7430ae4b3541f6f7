import {once} from 'node:events'
import {createServer, request, type IncomingMessage, type Server, type ServerResponse} from 'node:http'
import type {AddressInfo} from 'node:net'

/**
 * What becomes of a request. `reset`: its connection breaks before the server behind sees it. `unavailable`: 503.
 * `lost`: it is done, and the answer is lost. `half`: half of the answer's body comes.
 */
export type Fate = 'pass' | 'reset' | 'unavailable' | 'lost' | 'half'

export interface SeenRequest {
  readonly method: string
  readonly path: string
  /** From 1. */
  readonly number: number
}

/** A front of an HTTP server, on this machine, that lets requests fail. */
export interface FlakyFront extends AsyncDisposable {
  /** `http://127.0.0.1:34567`. */
  readonly origin: string
  readonly seen: readonly SeenRequest[]
  fate: (request: SeenRequest) => Fate
}

/** `address`: of this machine, to listen at. */
export async function flakyFront(target: string, address = '127.0.0.1'): Promise<FlakyFront> {
  const seen: SeenRequest[] = []
  const server = createServer((incoming, outgoing) => {
    const {method = 'GET', url: path = '/'} = incoming
    const made = {method, path, number: seen.length + 1}
    seen.push(made)
    answer(front.fate(made), {incoming, outgoing, target})
  })
  server.listen(0, address)
  await once(server, 'listening')
  const front: FlakyFront = {
    origin: `http://${address}:${portOf(server)}`,
    seen,
    fate: () => 'pass',
    [Symbol.asyncDispose]: async () => {
      server.close()
      server.closeAllConnections()
      await once(server, 'close')
    },
  }
  return front
}

interface Exchange {
  readonly incoming: IncomingMessage
  readonly outgoing: ServerResponse
  readonly target: string
}

function answer(fate: Fate, {incoming, outgoing, target}: Exchange): void {
  if (fate === 'reset') {
    incoming.socket.resetAndDestroy()
    return
  }
  if (fate === 'unavailable') {
    incoming.resume()
    outgoing.writeHead(503, {'content-type': 'text/plain', connection: 'close'}).end('not now')
    return
  }
  const {expect: _, ...headers} = incoming.headers
  const url = new URL(incoming.url ?? '/', target)
  const onward = request(url, {method: incoming.method, headers}, (found) => {
    pass(fate, found, outgoing)
  })
  onward.once('error', () => incoming.socket.destroy())
  incoming.pipe(onward)
}

function pass(fate: Fate, found: IncomingMessage, outgoing: ServerResponse): void {
  if (fate === 'lost') {
    found.resume()
    outgoing.socket?.resetAndDestroy()
    return
  }
  outgoing.writeHead(found.statusCode ?? 502, found.headers)
  if (fate === 'pass') {
    found.pipe(outgoing)
    return
  }
  const half = Number(found.headers['content-length'] ?? 0) / 2
  let bytes = 0
  found.on('data', (piece: Buffer) => {
    bytes += piece.length
    outgoing.write(piece.subarray(0, Math.max(0, half - (bytes - piece.length))), () => {
      if (bytes >= half) outgoing.socket?.resetAndDestroy()
    })
  })
  found.once('end', () => outgoing.socket?.destroy())
}

function portOf(server: Server): number {
  return (server.address() as AddressInfo).port
}
