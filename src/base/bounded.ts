/** Something from outside is larger than anything of its kind. */
export class TooLargeError extends Error {
  constructor(what: string, maxBytes: number) {
    super(`${what} is larger than ${maxBytes} bytes`)
  }
}

/** All of a small thing that comes from outside. Throws TooLargeError, and reads no further, when it is not small. */
export async function readAtMost(
  content: AsyncIterable<Uint8Array>,
  what: string,
  maxBytes: number,
): Promise<Buffer> {
  const parts: Uint8Array[] = []
  let bytes = 0
  for await (const part of content) {
    bytes += part.length
    if (bytes > maxBytes) throw new TooLargeError(what, maxBytes)
    parts.push(part)
  }
  return Buffer.concat(parts)
}

/** The text of an answer. Throws TooLargeError. */
export async function textAtMost({body}: Response, what: string, maxBytes: number): Promise<string> {
  return body === null ? '' : (await readAtMost(body, what, maxBytes)).toString('utf8')
}
