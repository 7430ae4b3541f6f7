import {chmod, rm} from 'node:fs/promises'
import {createServer} from 'node:net'
import {join} from 'node:path'
import type {Duplex} from 'node:stream'
import type {Log} from '../../../operator/log.ts'
import {SILENCE_MS} from '../transfer/frames.ts'
import {joinSockets} from './join-sockets.ts'

/** As long as the pod may take to start on this node. */
const START_MS = 3 * 60_000

/** Connections to page servers of other nodes, by the uid of the Checkpoint, for pods that are moved to this one. */
export interface IncomingPages {
  /** Keeps a connection until CRIU's daemon on this node goes on with it; an earlier one is closed. */
  keep(checkpointUid: string, connection: Duplex): Promise<void>
  /** Path on the node of the socket that leads to the page server; undefined: there is no connection. */
  socketOf(checkpointUid: string): string | undefined
  /** Memory that has arrived, in bytes; undefined: there is no connection. */
  receivedBytes(checkpointUid: string): number | undefined
  /** Closes what is open. */
  close(checkpointUid: string): void
}

interface Incoming {
  readonly socket: string
  readonly over: AbortController
  receivedBytes: number
}

/** `folder`: of their sockets, the same on the node, and only for root. */
export function incomingPages(folder: string, log: Log): IncomingPages {
  const known = new Map<string, Incoming>()
  const close = (uid: string): void => {
    known.get(uid)?.over.abort()
    known.delete(uid)
  }
  return {
    async keep(uid, connection) {
      close(uid)
      const socket = join(folder, `incoming-${uid}.sock`)
      const over = new AbortController()
      const incoming: Incoming = {socket, over, receivedBytes: 0}
      const onBytes = (bytes: number): void => void (incoming.receivedBytes += bytes)
      let isUsed = false
      const server = createServer((daemon) => {
        server.close()
        isUsed = true
        log('info', 'receiving memory of a pod that runs', {checkpoint: uid})
        const silence = {firstMs: START_MS, restMs: SILENCE_MS}
        void joinSockets(connection, daemon, {onBytes, silence, signal: over.signal}).then(() => {
          log('info', 'the connection to the page server ended', {
            checkpoint: uid,
            bytes: incoming.receivedBytes,
          })
          if (known.get(uid) === incoming) known.delete(uid)
        })
      })
      server.maxConnections = 1
      const gone = (): void => {
        server.close()
        connection.destroy()
        if (known.get(uid) === incoming) known.delete(uid)
      }
      AbortSignal.timeout(START_MS).addEventListener('abort', () => {
        if (!isUsed) gone()
      })
      over.signal.addEventListener('abort', gone)
      // The end of a connection that nobody reads from is not noticed otherwise.
      connection.once('close', gone).on('error', gone)
      await rm(socket, {force: true})
      await new Promise<void>((resolve, reject) => {
        server.once('error', reject)
        server.listen(socket, resolve)
      })
      await chmod(socket, 0o600)
      known.set(uid, incoming)
    },
    socketOf: (uid) => known.get(uid)?.socket,
    receivedBytes: (uid) => known.get(uid)?.receivedBytes,
    close,
  }
}
