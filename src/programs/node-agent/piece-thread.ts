import type {KeyObject} from 'node:crypto'
import {parentPort} from 'node:worker_threads'
import {errorMessage} from '../../base/errors.ts'
import {pieceCipher, type PieceKind} from '../../checkpoint/sealed/pieces.ts'
import type {Digest} from '../../checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'

/** Argument of a thread of this program that seals and opens pieces. */
export const PIECE_THREAD = 'pieces'

export type PieceTask = {readonly id: number; readonly dataKey: KeyObject; readonly kind: PieceKind} & (
  | {readonly work: 'seal'; readonly bytes: Uint8Array}
  | {readonly work: 'open'; readonly bytes: Uint8Array; readonly digest: Digest; readonly sizeBytes: number}
)

export type PieceResult = {readonly id: number} & (
  | {readonly bytes: Uint8Array; readonly digest?: Digest}
  | {readonly tampered: boolean; readonly message: string}
)

/** Smaller ones may lie in a buffer with others; they are copied. */
const OWN_BUFFER_BYTES = 1024 * 1024

/** The buffer of these bytes, to be handed over whole; none: they are copied. */
export const handedOver = ({buffer}: Uint8Array): ArrayBuffer[] =>
  buffer instanceof ArrayBuffer && buffer.byteLength >= OWN_BUFFER_BYTES ? [buffer] : []

/** As a Buffer, which what comes from another thread is not any more. */
export const asBuffer = ({buffer, byteOffset, byteLength}: Uint8Array): Buffer =>
  Buffer.from(buffer, byteOffset, byteLength)

/** The body of the thread. */
export function runPieceThread(): void {
  const port = parentPort
  port?.on('message', (task: PieceTask) => {
    void worked(task).then((result) =>
      port.postMessage(result, 'bytes' in result ? handedOver(result.bytes) : []),
    )
  })
}

async function worked(task: PieceTask): Promise<PieceResult> {
  const {id, kind} = task
  const bytes = asBuffer(task.bytes)
  try {
    const cipher = pieceCipher(task.dataKey)
    if (task.work === 'seal') return {id, ...(await cipher.seal(bytes, kind))}
    return {id, bytes: await cipher.open({digest: task.digest, sizeBytes: task.sizeBytes, kind, bytes})}
  } catch (error) {
    const message = errorMessage(error)
    return {id, tampered: error instanceof CheckpointError, message}
  }
}
