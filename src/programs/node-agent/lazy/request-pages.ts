import type {Duplex} from 'node:stream'
import {readAtMost} from '../../../base/bounded.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {upgradePeer} from '../../../operator/peer-tls.ts'
import type {DumpRequest} from '../transfer/request.ts'
import type {WantedPages} from '../transfer/wanted-dump.ts'
import {PAGES_PROTOCOL, pagesPath} from './serve-pages.ts'
import {isProvenBy, SOURCE_PROOF_HEADER} from './source-key.ts'

const MAX_REFUSAL_BYTES = 4096

export interface PagesRequest extends Omit<DumpRequest, 'checkpointUid'> {
  readonly wanted: Pick<WantedPages, 'checkpointUid' | 'source' | 'sourceKey' | 'target'>
}

/**
 * Asks a node agent for a connection to the page server of a pod, and refuses one that does not lead there. Throws
 * CheckpointError TRANSFER_FAILED.
 */
export async function requestPages({wanted, ...request}: PagesRequest): Promise<Duplex> {
  const {host, port, signal} = request
  const path = pagesPath(wanted.checkpointUid)
  const answer = await upgradePeer({...request, path}, PAGES_PROTOCOL).catch((cause: unknown) => {
    signal.throwIfAborted()
    throw failed(`the node agent at ${host}:${port} did not respond`, cause)
  })
  if ('socket' in answer) {
    const {socket, headers, channel} = answer
    if (isProvenBy(wanted.sourceKey, wanted, channel, headers[SOURCE_PROOF_HEADER])) return socket
    socket.destroy()
    throw failed(`${host}:${port} is not the node agent of ${wanted.source}: it has another key`)
  }
  const {refusal} = answer
  const why = await readAtMost(refusal, 'a refusal', MAX_REFUSAL_BYTES).catch(() => Buffer.alloc(0))
  throw failed(`the source refused with HTTP status ${refusal.statusCode ?? 0}: ${why.toString()}`)
}

const failed = (why: string, cause?: unknown): CheckpointError =>
  new CheckpointError('TRANSFER_FAILED', why, cause === undefined ? {} : {cause})
