import {open} from 'node:fs/promises'

/** Blocks of file systems are smaller, and their runs are found all the same. */
const BLOCK_BYTES = 64 * 1024
const ZEROS = Buffer.alloc(BLOCK_BYTES)

/**
 * Writes a new file (0600, never over what is there, never through a link) in which runs of zeros are holes, and gives
 * how many bytes were written. `onBytes` is told before each write how many it will have been then, and may throw.
 */
export async function writeSparse(
  path: string,
  content: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
  onBytes: (writtenBytes: number) => void = () => undefined,
): Promise<number> {
  await using file = await open(path, 'wx', 0o600)
  let at = 0
  let writtenBytes = 0
  const write = async (data: Uint8Array, position: number): Promise<void> => {
    writtenBytes += data.length
    onBytes(writtenBytes)
    for (let done = 0; done < data.length;)
      done += (await file.write(data, done, data.length - done, position + done)).bytesWritten
  }
  for await (const piece of content) {
    signal.throwIfAborted()
    // Of the piece, what is read and neither written nor a hole yet.
    let from = 0
    for (let to = 0; to < piece.length;) {
      const next = Math.min(piece.length, to + BLOCK_BYTES)
      if (ZEROS.subarray(0, next - to).equals(piece.subarray(to, next))) {
        if (from < to) await write(piece.subarray(from, to), at + from)
        from = next
      }
      to = next
    }
    if (from < piece.length) await write(piece.subarray(from), at + from)
    at += piece.length
  }
  // A hole at the end.
  await file.truncate(at)
  return writtenBytes
}
