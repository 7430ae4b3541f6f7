/** A message of the protobuf wire format: what came under each field number, in order. */
export interface Message {
  /** The last number under that field; undefined: there is none. Above 2^53 it is not exact. */
  number(field: number): number | undefined
  numbers(field: number): readonly number[]
  /** The last number under that field, which may be negative. */
  int32(field: number): number | undefined
  bytes(field: number): Uint8Array | undefined
  text(field: number): string | undefined
  texts(field: number): readonly string[]
  message(field: number): Message | undefined
  messages(field: number): readonly Message[]
}

type Value = bigint | Uint8Array

const VARINT = 0
const FIXED_64 = 1
const DELIMITED = 2
const FIXED_32 = 5

/** Reads a message; undefined: it is none. What in it is broken further down is left out. */
export function readMessage(bytes: Uint8Array): Message | undefined {
  return unlessBroken(() => {
    const values = new Map<number, Value[]>()
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    for (let at = 0; at < bytes.length;) {
      const [key, afterKey] = varint(bytes, at)
      const [value, after] = valueAt(bytes, view, afterKey, Number(key & 7n))
      const field = Number(key >> 3n)
      values.set(field, [...(values.get(field) ?? []), value])
      at = after
    }
    return messageOf((field) => values.get(field) ?? [])
  })
}

/** Another value for a field, which is a message or a number. */
export type FieldChange = (value: Uint8Array | bigint) => Uint8Array | bigint

/**
 * The bytes of a message with fields changed, by their numbers; what is not changed stays byte for byte, and what is not
 * there is not added. Throws RangeError for what is no message.
 */
export function changedFields(bytes: Uint8Array, changes: Readonly<Record<number, FieldChange>>): Buffer {
  const parts: Uint8Array[] = []
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  for (let at = 0; at < bytes.length;) {
    const [key, afterKey] = varint(bytes, at)
    const [value, after] = valueAt(bytes, view, afterKey, Number(key & 7n))
    const field = Number(key >> 3n)
    const changed = changes[field]?.(value)
    if (changed === undefined) parts.push(bytes.subarray(at, after))
    else
      parts.push(typeof changed === 'bigint' ? numberField(field, changed) : delimitedField(field, changed))
    at = after
  }
  return Buffer.concat(parts)
}

/** Everything below says by RangeError that the bytes end where they should not, DataView too. */
function unlessBroken<Result>(read: () => Result): Result | undefined {
  try {
    return read()
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}

function messageOf(all: (field: number) => readonly Value[]): Message {
  const numbers = (field: number) =>
    all(field).flatMap((value) =>
      typeof value === 'bigint' ? [Number(value)] : (unlessBroken(() => packed(value)) ?? []),
    )
  const buffers = (field: number) => all(field).filter((value) => typeof value !== 'bigint')
  return {
    numbers,
    number: (field) => numbers(field).at(-1),
    int32: (field) => {
      const found = all(field).findLast((value) => typeof value === 'bigint')
      return found === undefined ? undefined : int32Of(found)
    },
    bytes: (field) => buffers(field).at(-1),
    text: (field) => {
      const found = buffers(field).at(-1)
      return found === undefined ? undefined : Buffer.from(found).toString()
    },
    texts: (field) => buffers(field).map((found) => Buffer.from(found).toString()),
    message: (field) => {
      const found = buffers(field).at(-1)
      return found === undefined ? undefined : readMessage(found)
    },
    messages: (field) => buffers(field).flatMap((bytes) => readMessage(bytes) ?? []),
  }
}

/** Negative ones are written with 64 bits. */
export const int32Of = (value: bigint): number => Number(BigInt.asIntN(32, value))

function valueAt(bytes: Uint8Array, view: DataView, at: number, wireType: number): [Value, number] {
  if (wireType === VARINT) return varint(bytes, at)
  if (wireType === FIXED_64) return [view.getBigUint64(at, true), at + 8]
  if (wireType === FIXED_32) return [BigInt(view.getUint32(at, true)), at + 4]
  if (wireType !== DELIMITED) throw new RangeError(`wire type ${wireType} at byte ${at}`)
  const [length, start] = varint(bytes, at)
  const end = start + Number(length)
  if (end > bytes.length)
    throw new RangeError(
      `the field at byte ${at} has ${length} bytes, more than the ${bytes.length} bytes of the message`,
    )
  return [bytes.subarray(start, end), end]
}

function varint(bytes: Uint8Array, start: number): [bigint, number] {
  let value = 0n
  for (let at = start; at < start + 10; at += 1) {
    const byte = bytes[at]
    if (byte === undefined) throw new RangeError(`the number at byte ${at} is truncated`)
    value |= BigInt(byte & 0x7f) << BigInt(7 * (at - start))
    if (byte < 0x80) return [value, at + 1]
  }
  throw new RangeError(`the number at byte ${start} has more than ten bytes`)
}

/** Numbers of a repeated field that were written as one. */
function packed(bytes: Uint8Array): number[] {
  const numbers: number[] = []
  for (let at = 0; at < bytes.length;) {
    const [value, after] = varint(bytes, at)
    numbers.push(Number(value))
    at = after
  }
  return numbers
}

/** A field whose value has a length: a text, bytes or a message. */
export function delimitedField(number: number, content: string | Uint8Array): Buffer {
  const bytes = Buffer.from(content)
  return Buffer.concat([varintBytes((number << 3) | DELIMITED), varintBytes(bytes.length), bytes])
}

/** A field with a number that is not negative, or a bigint of 64 bits, which may be. */
export const numberField = (number: number, value: number | bigint): Buffer =>
  Buffer.concat([varintBytes((number << 3) | VARINT), varintBytes(value)])

function varintBytes(value: number | bigint): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 0x7fn; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)])
}
