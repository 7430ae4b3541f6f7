import {createReadStream} from 'node:fs'
import {open, rename} from 'node:fs/promises'
import {pipeline} from 'node:stream/promises'
import {createGunzip, createZstdDecompress} from 'node:zlib'
import {writeSparse} from '../../checkpoint/archive/sparse-file.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'

/** Takes the compression off a tar, in place; runtimes differ in which they use. Throws CheckpointError TOO_LARGE. */
export async function plainTar(
  path: string,
  signal: AbortSignal,
  most = Number.POSITIVE_INFINITY,
): Promise<void> {
  const opened = await openerOf(path)
  if (opened === undefined) return
  const plain = `${path}.plain`
  const unpacked = async (content: AsyncIterable<Uint8Array>): Promise<void> => {
    await writeSparse(plain, content, signal, (bytes) => {
      if (bytes <= most) return
      const why = `its changed files are larger than ${most} bytes`
      throw new CheckpointError('TOO_LARGE', `the checkpoint cannot be unpacked: ${why}`)
    })
  }
  await pipeline(createReadStream(path), opened, unpacked, {signal})
  await rename(plain, path)
}

async function openerOf(path: string) {
  await using file = await open(path)
  const {buffer} = await file.read(Buffer.alloc(4), 0, 4, 0)
  if (buffer.readUInt16BE(0) === 0x1f8b) return createGunzip()
  return buffer.readUInt32LE(0) === 0xfd2fb528 ? createZstdDecompress() : undefined
}
