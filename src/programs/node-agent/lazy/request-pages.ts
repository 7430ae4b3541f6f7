import type {Duplex} from 'node:stream'
import {readAtMost} from '../../../base/bounded.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {upgradePeer} from '../../../operator/peer-tls.ts'
import type {DumpRequest} from '../transfer/request.ts'
import {PAGES_PROTOCOL, pagesPath} from './serve-pages.ts'

const MAX_REFUSAL_BYTES = 4096

/** Asks a node agent for a connection to the page server of a pod. Throws CheckpointError TRANSFER_FAILED. */
export async function requestPages({checkpointUid, ...request}: DumpRequest): Promise<Duplex> {
  const {host, port, signal} = request
  const path = pagesPath(checkpointUid)
  const answer = await upgradePeer({...request, path}, PAGES_PROTOCOL).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw failed(`the node agent at ${host}:${port} did not respond`, cause)
  })
  if ('socket' in answer) return answer.socket
  const {refusal} = answer
  const why = await readAtMost(refusal, 'a refusal', MAX_REFUSAL_BYTES).catch(() => Buffer.alloc(0))
  throw failed(`the source refused with HTTP status ${refusal.statusCode ?? 0}: ${why.toString()}`)
}

const failed = (why: string, cause?: unknown): CheckpointError =>
  new CheckpointError('TRANSFER_FAILED', why, cause === undefined ? {} : {cause})
