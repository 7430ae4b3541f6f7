import type {KeyObject} from 'node:crypto'
import {parentPort} from 'node:worker_threads'
import {errorMessage} from '../../base/errors.ts'
import {
  pieceCipher,
  type PieceCompression,
  type PieceKind,
  type PieceToOpen,
} from '../../checkpoint/sealed/pieces.ts'
import type {Digest} from '../../checkpoint/stores/blob-store.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'

/** Argument of a thread of this program that seals and opens pieces. */
export const PIECE_THREAD = 'pieces'

export type PieceTask = {
  readonly id: number
  /** Absent: in clear. */ readonly dataKey: KeyObject | undefined
} & (
  | {readonly work: 'seal'; readonly bytes: Uint8Array; readonly kind: PieceKind}
  | ({readonly work: 'open'; readonly bytes: Uint8Array} & Omit<PieceToOpen, 'bytes'>)
)

export type PieceResult = {readonly id: number} & (
  | {
      readonly work: 'seal'
      readonly bytes: Uint8Array
      readonly digest: Digest
      readonly compression: PieceCompression
    }
  | {readonly work: 'open'; readonly bytes: Uint8Array}
  | {readonly work: 'failed'; readonly isTampered: boolean; readonly message: string}
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
      port.postMessage(result, result.work === 'failed' ? [] : handedOver(result.bytes)),
    )
  })
}

async function worked({id, dataKey, ...task}: PieceTask): Promise<PieceResult> {
  const bytes = asBuffer(task.bytes)
  try {
    const cipher = pieceCipher(dataKey)
    if (task.work === 'seal') return {id, work: 'seal', ...(await cipher.seal(bytes, task.kind))}
    return {id, work: 'open', bytes: await cipher.open({...task, bytes})}
  } catch (error) {
    return {id, work: 'failed', isTampered: error instanceof CheckpointError, message: errorMessage(error)}
  }
}
