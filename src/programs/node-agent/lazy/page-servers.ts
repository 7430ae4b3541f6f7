import {once} from 'node:events'
import {access} from 'node:fs/promises'
import {connect, type Socket} from 'node:net'
import {join} from 'node:path'
import {systemCode, unlessMissing} from '../../../base/system-errors.ts'
import {pauseQuietly} from '../../../base/waiting.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {HostCommands} from '../host-command.ts'
import {runcFailure, runcWords, type PreparedRunc, type RuncFolders} from '../runc.ts'
import {sourceKey, type SourceKey} from './source-key.ts'

/** What is written first to the socket of `clouder-files serve-pages` (src/bundle/modules/restore/pages). */
const CARRY = 'P'
const QUIT = 'Q'
/** In a network namespace of its own, where nobody else listens. */
const PORT = 7878
const STATUS_FD = '3'
const LOOK_EVERY_MS = 5
const ANSWER_MS = 10_000

/**
 * Page servers of CRIU on this node, one for each pod whose memory stays here until it runs on another node. Until one
 * ends, CRIU holds the processes of the pod.
 */
export interface PageServers {
  /** Makes a dump ready to begin, of which all is in its folder but the memory, when `run` resolves. */
  prepare(
    podUid: string,
    containerId: string,
    folders: RuncFolders,
    signal: AbortSignal,
  ): Promise<PreparedRunc>
  /** By which the page server of a pod is known. Throws CheckpointError TRANSFER_FAILED when this program did not start it. */
  keyOf(podUid: string): SourceKey
  /** The one connection to the page server of a pod. Throws CheckpointError TRANSFER_FAILED. */
  connect(podUid: string, signal: AbortSignal): Promise<Socket>
  /** Ends the page server of a pod; its processes run on unless they are frozen. One that is not there is no error. */
  end(podUid: string, signal: AbortSignal): Promise<void>
}

export interface PageServerOptions {
  readonly commands: Pick<HostCommands, 'prepare'>
  /** Where their sockets are; the same folder on the node. */
  readonly folder: string
  /** Path on the node of the program that serves pages. */
  readonly program: string
}

/** Page servers that the node's runc starts. They outlive this program. */
export function hostPageServers({commands, folder, program}: PageServerOptions): PageServers {
  const socketOf = (podUid: string): string => {
    if (!/^[0-9a-f-]{8,64}$/.test(podUid)) throw new Error(`"${podUid}" is not the uid of a pod`)
    return join(folder, `pages-${podUid}.sock`)
  }
  // In memory only: after a restart of this program nobody is connected, and the pod is thawed.
  const keys = new Map<string, SourceKey>()
  const isThere = (path: string): Promise<boolean> =>
    access(path).then(
      () => true,
      () => false,
    )
  return {
    async prepare(podUid, id, folders, signal) {
      const socket = socketOf(podUid)
      const more = ['--lazy-pages', '--page-server', `127.0.0.1:${PORT}`, '--status-fd', STATUS_FD]
      const serve = [program, 'serve-pages', '--socket', socket, '--port', String(PORT), '--']
      const argv = [...serve, ...runcWords('dump', id, folders, {more})]
      const command = await commands.prepare(argv, {network: 'own'}, signal)
      keys.set(podUid, sourceKey())
      return {
        async run(until) {
          await command.start(until)
          let code: number | undefined
          const ended = command.ended(new AbortController().signal).then(
            (number) => (code = number),
            () => (code = -1),
          )
          while (!(await isThere(socket))) {
            until.throwIfAborted()
            if (code !== undefined) throw await runcFailure('dump', code, folders)
            await Promise.race([ended, pauseQuietly(LOOK_EVERY_MS, until)])
          }
        },
        discard: () => command.kill(),
      }
    },
    keyOf(podUid) {
      const key = keys.get(podUid)
      if (key !== undefined) return key
      throw new CheckpointError('TRANSFER_FAILED', 'the node agent was restarted after the dump of the pod')
    },
    async connect(podUid, signal) {
      const socket = connect(socketOf(podUid)).on('error', () => undefined)
      const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])
      try {
        await once(socket, 'connect', {signal: limit})
        socket.write(CARRY)
        // Nothing else comes before it is asked for.
        const [first] = (await once(socket, 'data', {signal: limit})) as unknown[]
        socket.pause()
        if (Buffer.isBuffer(first) && first.toString() === CARRY) return socket
        throw new Error('the page server answered with something else')
      } catch (cause) {
        socket.destroy()
        signal.throwIfAborted()
        throw new CheckpointError('TRANSFER_FAILED', 'the page server of the pod has ended', {cause})
      }
    },
    async end(podUid, signal) {
      keys.delete(podUid)
      const socket = connect(socketOf(podUid)).on('error', () => undefined)
      const limit = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)])
      try {
        await once(socket, 'connect', {signal: limit}).catch(unlessAbsent)
        if (socket.connecting || socket.destroyed) return
        socket.resume().write(QUIT)
        await once(socket, 'close', {signal: limit})
      } finally {
        socket.destroy()
      }
    },
  }
}

/** No page server, or one that was killed. */
function unlessAbsent(error: unknown): void {
  if (systemCode(error) !== 'ECONNREFUSED') unlessMissing(error)
}
