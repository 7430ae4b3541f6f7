import type {IncomingMessage, ServerResponse} from 'node:http'
import {z} from 'zod'
import {errorMessage} from '../../../base/errors.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {AgentTools} from '../tools.ts'
import {refuseOthers, ROOM_HEADER} from './access.ts'
import {sendDump} from './send.ts'

export const DUMP_PATH = '/v1/dumps/'
const PATH = /^\/v1\/dumps\/([0-9a-f-]{36})$/

const roomSchema = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)

/** Answers requests for dumps of this node. False: the path is not of that kind. */
export type DumpServer = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>

export function dumpServer({
  outgoing,
  kube,
  node,
  log,
  signal,
}: Pick<AgentTools, 'kube' | 'node' | 'outgoing' | 'log' | 'signal'>): DumpServer {
  const underWay = new Map<string, AbortController>()
  return async (request, response) => {
    const uid = PATH.exec(request.url ?? '')?.[1]
    if (uid === undefined) return false
    try {
      await refuseOthers(request, uid, {kube, node})
    } catch (error) {
      if (!(error instanceof CheckpointError)) throw error
      log('warn', 'refused to send a dump', {checkpoint: uid, error: error.message})
      response.writeHead(403, {'content-type': 'text/plain'}).end(error.message)
      return true
    }
    // One that requests it again has given up the request before.
    underWay.get(uid)?.abort(new CheckpointError('TRANSFER_FAILED', 'the target requested the dump again'))
    const over = new AbortController()
    underWay.set(uid, over)
    outgoing.noteRoom(uid, roomSchema.safeParse(request.headers[ROOM_HEADER]).data)
    log('info', 'sending a dump', {checkpoint: uid})
    try {
      await sendDump(uid, response, outgoing, AbortSignal.any([signal, over.signal]))
      log('info', 'sent a dump', {checkpoint: uid})
    } catch (error) {
      if (!signal.aborted) log('warn', 'could not send a dump', {checkpoint: uid, error: errorMessage(error)})
    } finally {
      if (underWay.get(uid) === over) {
        underWay.delete(uid)
        outgoing.noteRoom(uid, undefined)
      }
    }
    return true
  }
}
