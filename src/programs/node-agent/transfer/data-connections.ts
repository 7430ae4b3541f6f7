import {randomBytes} from 'node:crypto'
import type {Socket} from 'node:net'
import {CheckpointError} from '../../../checkpoint/errors.ts'

/** First byte of a connection over which files of a dump are sent; the id of its transfer follows. */
export const DATA_PREAMBLE = 1
const ID_BYTES = 32
const PREAMBLE_BYTES = 1 + ID_BYTES
const CONNECT_MS = 10_000
/** Connections that have not sent their id yet. */
const MOST_WITHOUT_ID = 64

/** Connections that were announced to a target. */
export interface ExpectedConnections {
  /** In hexadecimal. Whoever knows it may connect; what comes over the connection is still to be proven. */
  readonly id: string
  /** Paused, with nothing read but the preamble. Throws CheckpointError TRANSFER_FAILED when they do not come in time. */
  readonly sockets: Promise<readonly Socket[]>
}

/** Connections to the port of the agent that carry files of dumps. */
export interface DataConnections {
  /** Draws an id that is good for so many connections. */
  expect(count: number, signal: AbortSignal): ExpectedConnections
  /** Takes a connection with its first bytes, and closes it unless its id is expected. */
  readonly take: (socket: Socket, bytes: Buffer) => void
}

interface Expected {
  readonly count: number
  readonly sockets: Socket[]
  readonly complete: (sockets: readonly Socket[]) => void
}

/** `connectMs`: how long announced connections, and their ids, are waited for. */
export function dataConnections({connectMs = CONNECT_MS} = {}): DataConnections {
  const expected = new Map<string, Expected>()
  const unnamed = new Set<Socket>()
  const named = (socket: Socket, id: string): void => {
    const found = expected.get(id)
    if (found === undefined) {
      socket.destroy()
      return
    }
    found.sockets.push(socket)
    if (found.sockets.length < found.count) return
    // Used up: nobody else connects with it.
    expected.delete(id)
    found.complete(found.sockets)
  }
  return {
    expect(count, signal) {
      const id = randomBytes(ID_BYTES).toString('hex')
      const sockets: Socket[] = []
      const within = AbortSignal.any([signal, AbortSignal.timeout(connectMs)])
      const all = new Promise<readonly Socket[]>((resolve, reject) => {
        const end = (): void => {
          expected.delete(id)
          for (const socket of sockets) socket.destroy()
          reject(failed(`the target made ${sockets.length} of ${count} connections`))
        }
        within.addEventListener('abort', end)
        const complete = (made: readonly Socket[]): void => {
          within.removeEventListener('abort', end)
          resolve(made)
        }
        expected.set(id, {count, sockets, complete})
        if (within.aborted) end()
      })
      all.catch(() => undefined)
      return {id, sockets: all}
    },
    take(socket, bytes) {
      if (unnamed.size >= MOST_WITHOUT_ID) {
        socket.destroy()
        return
      }
      unnamed.add(socket)
      const tooLate = AbortSignal.timeout(connectMs)
      const giveUp = (): void => void socket.destroy()
      tooLate.addEventListener('abort', giveUp)
      const settle = (): void => {
        tooLate.removeEventListener('abort', giveUp)
        unnamed.delete(socket)
        socket.off('data', more)
        socket.off('close', settle)
      }
      let seen = Buffer.alloc(0)
      const more = (part: Buffer): void => {
        seen = Buffer.concat([seen, part])
        if (seen.length < PREAMBLE_BYTES) return
        settle()
        socket.pause()
        // It waits for an answer before it sends more.
        if (seen.length > PREAMBLE_BYTES) socket.destroy()
        else named(socket, seen.subarray(1).toString('hex'))
      }
      socket.on('data', more)
      socket.once('close', settle)
      more(bytes)
      if (unnamed.has(socket)) socket.resume()
    },
  }
}

const failed = (why: string): CheckpointError => new CheckpointError('TRANSFER_FAILED', why)
