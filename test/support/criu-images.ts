/** Fields of a message, as the protobuf wire format has them. */
export type Fields = readonly (readonly [field: number, value: number | string | Uint8Array])[]

function varint(value: number): number[] {
  const bytes: number[] = []
  let rest = BigInt(value)
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return [...bytes, Number(rest)]
}

/** A message. */
export const message = (fields: Fields): Uint8Array =>
  Buffer.concat(
    fields.map(([field, value]) => {
      if (typeof value === 'number') return Buffer.from([...varint(field << 3), ...varint(value)])
      const bytes = Buffer.from(value)
      return Buffer.concat([Buffer.from([...varint((field << 3) | 2), ...varint(bytes.length)]), bytes])
    }),
  )

/** An image of CRIU. */
export function image(magic: number, ...records: readonly Fields[]): Uint8Array {
  const head = Buffer.alloc(8)
  head.writeUInt32LE(0x54564319)
  head.writeUInt32LE(magic, 4)
  const framed = records.map(message).flatMap((bytes) => {
    const length = Buffer.alloc(4)
    length.writeUInt32LE(bytes.length)
    return [length, bytes]
  })
  return Buffer.concat([head, ...framed])
}

const [PSTREE, CORE, IDS] = [0x50273030, 0x55053847, 0x54432030]
const [PAGEMAP, FDINFO, FILES, MOUNTS] = [0x56084025, 0x56213732, 0x56303138, 0x55563928]
const LOOPBACK = 0x0100007f

/** A server of two processes, of which one has three threads: a shell that started it, a listener, a connection. */
export const IMAGES: Readonly<Record<string, Uint8Array>> = {
  'pstree.img': image(
    PSTREE,
    [
      [1, 1],
      [2, 0],
      [5, 1],
    ],
    [
      [1, 7],
      [2, 1],
      [5, 7],
      [5, 8],
      [5, 9],
    ],
  ),
  'core-1.img': image(CORE, [
    [1, 1],
    [3, message([[6, 'sh']])],
    [5, message([[10, message([[3, 0]])]])],
  ]),
  'core-7.img': image(CORE, [
    [1, 1],
    [3, message([[6, 'server']])],
    [5, message([[10, message([[3, 1000]])]])],
  ]),
  'ids-7.img': image(IDS, [[2, 2]]),
  'pagemap-7.img': image(
    PAGEMAP,
    [[1, 1]],
    [
      [1, 0x400000],
      [2, 3],
      [4, 4],
    ],
    [
      [1, 0x500000],
      [2, 0],
      [4, 4],
      [5, 100],
    ],
    // Not in the image: a page of an older checkpoint.
    [
      [1, 0x600000],
      [2, 5],
      [4, 1],
    ],
  ),
  'fdinfo-2.img': image(
    FDINFO,
    [
      [1, 10],
      [2, 0],
      [3, 1],
      [4, 0],
    ],
    [
      [1, 11],
      [2, 0],
      [3, 4],
      [4, 3],
    ],
    [
      [1, 12],
      [2, 0],
      [3, 4],
      [4, 4],
    ],
    [
      [1, 13],
      [2, 0],
      [3, 5],
      [4, 5],
    ],
    [
      [1, 14],
      [2, 0],
      [3, 2],
      [4, 6],
    ],
    [
      [1, 15],
      [2, 0],
      [3, 6],
      [4, 7],
    ],
    [
      [1, 16],
      [2, 0],
      [3, 999],
      [4, 8],
    ],
  ),
  'files.img': image(
    FILES,
    [
      [1, 1],
      [2, 10],
      [
        3,
        message([
          [1, 10],
          [6, '/var/log/server.log'],
        ]),
      ],
    ],
    [
      [1, 4],
      [2, 11],
      [
        4,
        message([
          [3, 10],
          [4, 1],
          [5, 6],
          [6, 10],
          [7, 8080],
          [8, 0],
          [11, 0],
          [11, 0],
          [11, 0],
          [11, 0],
        ]),
      ],
    ],
    [
      [1, 4],
      [2, 12],
      [
        4,
        message([
          [3, 2],
          [4, 1],
          [5, 6],
          [6, 1],
          [7, 8080],
          [8, 40_000],
          [11, LOOPBACK],
          [12, LOOPBACK],
        ]),
      ],
    ],
    [
      [1, 5],
      [2, 13],
      [
        16,
        message([
          [3, 1],
          [4, 10],
          [11, '\0bus'],
        ]),
      ],
    ],
    [
      [1, 2],
      [2, 14],
      [18, message([[2, 77]])],
    ],
    [
      [1, 6],
      [2, 15],
    ],
  ),
  'mountpoints-13.img': image(
    MOUNTS,
    [
      [1, 17],
      [7, './'],
      [8, 'overlay'],
    ],
    [
      [1, 0],
      [7, './etc/hosts'],
      [8, '/dev/vda'],
      [13, 1],
    ],
    [
      [1, 16],
      [7, './data'],
      [8, '/dev/vdb'],
      [14, 'ext4'],
    ],
  ),
}
