import {CheckpointError} from '../errors.ts'
import {inOrder} from './in-order.ts'
import type {OpeningKeys} from './keys.ts'
import {openCheckpoint, readEnvelope, type ReadOptions} from './open.ts'
import type {Ciphers} from './pieces.ts'
import type {CheckpointMetadata} from '../../api/sealed-checkpoint.ts'

const AT_ONCE = 4

export interface Verified {
  readonly name: string
  /** Public key that signed it. */
  readonly signer: string
  readonly blobs: number
  readonly storedBytes: number
  /** Absent: only what lies in the store was checked, as no keys were given. */
  readonly metadata?: CheckpointMetadata
}

/**
 * Reads a checkpoint back from its store: signature, every blob and its digest; with keys also that everything opens
 * and is the archives that were sealed. Throws what `openCheckpoint` throws, at the first thing that is wrong.
 */
export async function verifyCheckpoint(
  options: ReadOptions & {
    readonly keys?: OpeningKeys
    /** Default: all in this thread. */
    readonly ciphers?: Ciphers
    readonly onProgress?: (readBytes: number) => void
  },
): Promise<Verified> {
  const {keys, ...reading} = options
  return keys === undefined ? verifyStored(reading) : verifyOpen({...reading, keys})
}

type Progress = {readonly onProgress?: (readBytes: number) => void}

async function verifyStored(options: ReadOptions & Progress): Promise<Verified> {
  const {store, signal, onProgress} = options
  const {envelope, name, signer} = await readEnvelope(options)
  const blobs = [envelope.table, ...envelope.chunks]
  let storedBytes = 0
  const sizes = inOrder(blobs, AT_ONCE, signal, async ({digest, storedBytes: said}, either) => {
    let foundBytes = 0
    for await (const part of store.get(digest, either)) foundBytes += part.length
    if (foundBytes === said) return foundBytes
    throw new CheckpointError('BLOB_TAMPERED', `blob ${digest} has ${foundBytes} bytes, expected ${said}`)
  })
  for await (const sizeBytes of sizes) {
    storedBytes += sizeBytes
    onProgress?.(storedBytes)
  }
  return {name, signer, blobs: blobs.length, storedBytes}
}

async function verifyOpen(
  options: ReadOptions & Progress & {readonly keys: OpeningKeys; readonly ciphers?: Ciphers},
): Promise<Verified> {
  const {name, signer, envelope, metadata, archive} = await openCheckpoint(options)
  let readBytes = 0
  for (const container of metadata.containers) {
    for await (const piece of archive(container.name, {transient: true})) {
      readBytes += piece.length
      options.onProgress?.(readBytes)
    }
  }
  const blobs = [envelope.table, ...envelope.chunks]
  const storedBytes = blobs.reduce((sum, blob) => sum + blob.storedBytes, 0)
  return {name, signer, blobs: blobs.length, storedBytes, metadata}
}
