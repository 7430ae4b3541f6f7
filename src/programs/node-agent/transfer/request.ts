import {readAtMost} from '../../../base/bounded.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {askPeer, type PeerKey} from '../../../operator/peer-tls.ts'
import {SILENCE_MS} from './frames.ts'
import type {OpenedDump} from './receive.ts'
import {DUMP_PATH} from './serve-dumps.ts'

export interface DumpRequest {
  readonly host: string
  readonly port: number
  readonly key: PeerKey
  readonly checkpointUid: string
  readonly headersOf: (channel: Buffer) => Readonly<Record<string, string>>
  readonly signal: AbortSignal
}

const MAX_REFUSAL_BYTES = 4096

/** Asks a node agent for a dump; it sends frames. Throws CheckpointError TRANSFER_FAILED. */
export async function requestDump({checkpointUid, ...request}: DumpRequest): Promise<OpenedDump> {
  const {host, port, signal} = request
  const response = await askPeer({...request, path: `${DUMP_PATH}${checkpointUid}`}).catch(
    (cause: unknown) => {
      signal.throwIfAborted()
      throw failed(`the node agent at ${host}:${port} did not respond`, cause)
    },
  )
  response.socket.setTimeout(SILENCE_MS, () =>
    response.destroy(failed(`the source sent nothing for ${SILENCE_MS / 1000} s`)),
  )
  if (response.statusCode === 200) return {content: response, host, port}
  const why = await readAtMost(response, 'a refusal', MAX_REFUSAL_BYTES).catch(() => Buffer.alloc(0))
  throw failed(`the source refused with HTTP status ${response.statusCode ?? 0}: ${why.toString()}`)
}

const failed = (why: string, cause?: unknown): CheckpointError =>
  new CheckpointError('TRANSFER_FAILED', why, cause === undefined ? {} : {cause})
