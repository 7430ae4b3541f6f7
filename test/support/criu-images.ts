/** Fields of a message, as the protobuf wire format has them. */
export type Fields = readonly (readonly [field: number, value: number | bigint | string | Uint8Array])[]

function varint(value: number | bigint): number[] {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return [...bytes, Number(rest)]
}

/** A message. */
export const message = (fields: Fields): Uint8Array =>
  Buffer.concat(
    fields.map(([field, value]) => {
      if (typeof value === 'number' || typeof value === 'bigint')
        return Buffer.from([...varint(field << 3), ...varint(value)])
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

const [FS, MM, REMAP] = [0x51403912, 0x57492820, 0x59133954]

/** Something that one process, `app` with the pid 7, holds, on one of the mounts. */
export interface Held {
  readonly path?: string
  /** Place of the mount that it lies on. */
  readonly on: string
  readonly how: 'open' | 'mapped' | 'folder' | 'unlinked' | 'fifo' | 'socket' | 'accepted' | 'watch'
  readonly mode?: number
  readonly sizeBytes?: number
}

/** CRIU's images of a process that holds these. Mounts besides `/` come from outside. */
export function imagesHolding(held: readonly Held[], mounts: readonly string[]): Record<string, Uint8Array> {
  const idOf = (index: number) => 100 + index
  // As sint32 has them.
  const signed = (place: string): number => 2 * (50 + ['/', ...mounts].indexOf(place))
  const regular = ({path = '', on, mode = 0o100644, sizeBytes = 5}: Held, id: number): Fields => [
    [1, 1],
    [2, id],
    [
      3,
      message([
        [1, id],
        [6, path],
        [7, signed(on)],
        [8, sizeBytes],
        [9, mode],
      ]),
    ],
  ]
  const files = held.flatMap((one, index): readonly Fields[] => {
    const id = idOf(index)
    if (one.how === 'socket' || one.how === 'accepted')
      return [
        [
          [1, 5],
          [2, id],
          [
            16,
            message([
              [3, 1],
              [4, one.how === 'socket' ? 10 : 1],
              [11, `${one.path}\0`],
              [17, signed(one.on)],
            ]),
          ],
        ],
      ]
    if (one.how === 'watch')
      return [
        [
          [1, 8],
          [2, id],
          [
            13,
            message([
              [1, id],
              [
                5,
                message([
                  [
                    7,
                    message(
                      one.path === undefined
                        ? [[1, 8]]
                        : [
                            [1, 8],
                            [4, one.path],
                          ],
                    ),
                  ],
                ]),
              ],
            ]),
          ],
        ],
      ]
    if (one.how === 'fifo')
      return [
        [
          [1, 3],
          [2, id],
          [
            17,
            message([
              [1, id],
              [3, 900 + index],
            ]),
          ],
        ],
        regular({mode: 0o10644, ...one}, 900 + index),
      ]
    return [regular(one, id)]
  })
  const types: Partial<Record<Held['how'], number>> = {fifo: 3, socket: 5, accepted: 5, watch: 8}
  const descriptors = held.flatMap((one, index): readonly Fields[] =>
    one.how === 'mapped' || one.how === 'folder'
      ? []
      : [
          [
            [1, idOf(index)],
            [3, types[one.how] ?? 1],
            [4, 3 + index],
          ],
        ],
  )
  const areas = held.flatMap(({how}, index): Fields =>
    how === 'mapped'
      ? [
          [
            14,
            message([
              [4, idOf(index)],
              [7, 1 << 7],
            ]),
          ],
        ]
      : [],
  )
  const folder = held.findIndex(({how}) => how === 'folder')
  return {
    'pstree.img': image(PSTREE, [
      [1, 7],
      [2, 0],
      [5, 7],
    ]),
    'core-7.img': image(CORE, [
      [1, 1],
      [3, message([[6, 'app']])],
    ]),
    'ids-7.img': image(IDS, [[2, 2]]),
    'fdinfo-2.img': image(FDINFO, ...descriptors),
    'files.img': image(FILES, ...files),
    'mm-7.img': image(MM, [[1, 1], ...areas]),
    'fs-7.img': image(FS, [[1, folder < 0 ? 1 : idOf(folder)]]),
    'remap-fpath.img': image(
      REMAP,
      ...held.flatMap(({how}, index): readonly Fields[] => (how === 'unlinked' ? [[[1, idOf(index)]]] : [])),
    ),
    'mountpoints-13.img': image(
      MOUNTS,
      ...['/', ...mounts].map((place, index): Fields => [
        [1, 0],
        [2, 50 + index],
        [7, `.${place}`],
        ...(place === '/' ? [] : ([[18, place]] as const)),
      ]),
    ),
  }
}

/**
 * The sockets in files.img of CRIU 4.2.1, of a program that listens on 0.0.0.0:9000 and has accepted a connection at
 * 10.99.0.1:9000 which its peer has reset, and which the program has not closed.
 */
export const RESET_CONNECTION: Uint8Array = Buffer.from(
  [
    'GUNWVDgxMFZqAAAACAQQCyJkCAsQu4psGAIgASgGMAo4qEZAAEgCUAhYAGAAagoIABAAGAAgACgAcikIgIABEICACBgAIAAoADAA',
    'OAFAAEgBaABwAIgBAJABAJgBALgBAMgBAIIBAjhAkAECogEHGAkgoDgoS3MAAAAIBBAMIm0IDBDBimwYAiABKAYwBzioRkCmjAJI',
    'AlAAWIrGgQhgisaBCGoKCAAQABgAIAAoAHIqCIC88AEQgIAIGAAgACgAMAA4AUAASAFoAHAAiAEAkAEAmAEAuAEAyAEAggECOECY',
    'AQGiAQcYCSCgOChL',
  ].join(''),
  'base64',
)
