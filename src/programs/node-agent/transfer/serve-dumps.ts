import type {IncomingMessage, ServerResponse} from 'node:http'
import {availableParallelism} from 'node:os'
import {z} from 'zod'
import {errorMessage} from '../../../base/errors.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {AgentTools} from '../tools.ts'
import {PIN_HEADER, refuseOthers, ROOM_HEADER} from './access.ts'
import {MAX_CONNECTIONS, pinSchema} from './frames.ts'
import {sendDump, type SendOptions} from './send.ts'

export const DUMP_PATH = '/v1/dumps/'
const PATH = /^\/v1\/dumps\/([0-9a-f-]{36})$/

const roomSchema = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number)

/** Answers requests for dumps of this node. False: the path is not of that kind. */
export type DumpServer = (request: IncomingMessage, response: ServerResponse) => Promise<boolean>

/** One reads from the disk while another encrypts. */
const LEAST_CONNECTIONS = 2

export type DumpServerTools = Pick<AgentTools, 'kube' | 'node' | 'outgoing' | 'log' | 'signal'> &
  Pick<SendOptions, 'data' | 'start'>

export function dumpServer({outgoing, kube, node, data, start, log, signal}: DumpServerTools): DumpServer {
  const connections = Math.min(MAX_CONNECTIONS, Math.max(LEAST_CONNECTIONS, availableParallelism()))
  const underWay = new Map<string, AbortController>()
  return async (request, response) => {
    const uid = PATH.exec(request.url ?? '')?.[1]
    if (uid === undefined) return false
    let pin: string
    try {
      await refuseOthers(request, uid, {kube, node})
      pin = pinOf(request)
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
      await sendDump(
        uid,
        response,
        {outgoing, data, connections, start, pin},
        AbortSignal.any([signal, over.signal]),
      )
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

function pinOf({headers}: IncomingMessage): string {
  const {data: pin} = pinSchema.safeParse(headers[PIN_HEADER])
  if (pin !== undefined) return pin
  throw new CheckpointError('STORE_REFUSED', 'the request does not say which key the target will use')
}
