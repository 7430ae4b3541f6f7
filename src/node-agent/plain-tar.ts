import {createReadStream, createWriteStream} from 'node:fs'
import {open, rename} from 'node:fs/promises'
import {pipeline} from 'node:stream/promises'
import {createGunzip, createZstdDecompress} from 'node:zlib'

/** Takes the compression off a tar, in place; runtimes differ in which they use. */
export async function plainTar(path: string, signal: AbortSignal): Promise<void> {
  const opened = await openerOf(path)
  if (opened === undefined) return
  const plain = `${path}.plain`
  await pipeline(createReadStream(path), opened, createWriteStream(plain, {mode: 0o600}), {signal})
  await rename(plain, path)
}

async function openerOf(path: string) {
  await using file = await open(path)
  const {buffer} = await file.read(Buffer.alloc(4), 0, 4, 0)
  if (buffer.readUInt16BE(0) === 0x1f8b) return createGunzip()
  return buffer.readUInt32LE(0) === 0xfd2fb528 ? createZstdDecompress() : undefined
}
