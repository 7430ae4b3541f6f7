import {open} from 'node:fs/promises'

/** What the dynamic loader reads of a program or library. */
export interface ElfLinks {
  /** Path of the loader; absent in libraries and static programs. */
  readonly interpreter: string | undefined
  /** Names of libraries: `libc.so.6`. */
  readonly needed: readonly string[]
}

const PT_LOAD = 1
const PT_DYNAMIC = 2
const PT_INTERP = 3
const DT_NEEDED = 1n
const DT_STRTAB = 5n

interface Segment {
  readonly type: number
  readonly offset: number
  readonly address: number
  readonly size: number
}

/** Reads a 64-bit little-endian ELF file (man 5 elf); undefined for any other file. */
export async function readElfLinks(path: string): Promise<ElfLinks | undefined> {
  await using file = await open(path)
  const {size} = await file.stat()
  if (size < 64) return undefined
  const content = Buffer.alloc(size)
  await file.read(content, 0, size, 0)
  const isElf64Little = content.readUInt32BE(0) === 0x7f454c46 && content[4] === 2 && content[5] === 1
  return isElf64Little ? linksOf(content) : undefined
}

function linksOf(content: Buffer): ElfLinks {
  const segments = readSegments(content)
  const interpreter = segments.find((segment) => segment.type === PT_INTERP)
  const dynamic = segments.find((segment) => segment.type === PT_DYNAMIC)
  return {
    interpreter: interpreter === undefined ? undefined : textAt(content, interpreter.offset),
    needed: dynamic === undefined ? [] : neededOf(content, segments, dynamic),
  }
}

function readSegments(content: Buffer): readonly Segment[] {
  const start = Number(content.readBigUInt64LE(0x20))
  const entrySize = content.readUInt16LE(0x36)
  const count = content.readUInt16LE(0x38)
  return Array.from({length: count}, (_, index) => {
    const at = start + index * entrySize
    return {
      type: content.readUInt32LE(at),
      offset: Number(content.readBigUInt64LE(at + 8)),
      address: Number(content.readBigUInt64LE(at + 16)),
      size: Number(content.readBigUInt64LE(at + 32)),
    }
  })
}

function neededOf(content: Buffer, segments: readonly Segment[], dynamic: Segment): readonly string[] {
  const nameOffsets: number[] = []
  let stringTable = 0
  for (let at = dynamic.offset; at < dynamic.offset + dynamic.size; at += 16) {
    const tag = content.readBigInt64LE(at)
    const value = Number(content.readBigUInt64LE(at + 8))
    if (tag === 0n) break
    if (tag === DT_NEEDED) nameOffsets.push(value)
    if (tag === DT_STRTAB) stringTable = value
  }
  const loaded = segments.find(
    ({type, address, size}) => type === PT_LOAD && stringTable >= address && stringTable < address + size,
  )
  if (loaded === undefined) return []
  const tableOffset = stringTable - loaded.address + loaded.offset
  return nameOffsets.map((offset) => textAt(content, tableOffset + offset))
}

function textAt(content: Buffer, offset: number): string {
  return content.toString('utf8', offset, content.indexOf(0, offset))
}
