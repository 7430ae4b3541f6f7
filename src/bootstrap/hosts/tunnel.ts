import {once} from 'node:events'
import {createServer, type Socket} from 'node:net'
import type {Duplex} from 'node:stream'
import type {Tunnel} from './host.ts'

/** Listens on a free port of this machine's loopback and joins each connection to a stream that `open` gives. */
export async function openTunnel(open: () => Promise<Duplex>): Promise<Tunnel> {
  const sockets = new Set<Socket>()
  let failure: Error | undefined
  const server = createServer({noDelay: true}, (socket) => {
    sockets.add(socket)
    socket.on('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    open().then(
      (stream) => {
        failure = undefined
        stream.on('error', () => socket.destroy())
        stream.on('close', () => socket.destroy())
        socket.on('close', () => stream.destroy())
        if (socket.destroyed) stream.destroy()
        socket.pipe(stream).pipe(socket)
      },
      // Who connected learns no more than that: the connection is reset.
      (error: unknown) => {
        failure = error instanceof Error ? error : new Error(String(error))
        socket.resetAndDestroy()
      },
    )
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new TypeError('a TCP server has no port')
  return {
    localPort: address.port,
    failure: () => failure,
    async close() {
      const closed = once(server, 'close')
      server.close()
      for (const socket of sockets) socket.destroy()
      await closed
    },
  }
}
