import {randomBytes} from 'node:crypto'
import {expect} from 'vitest'
import type {KeyWrapper} from '../../src/checkpoint/sealed/keys.ts'

/** What every way to keep a data key must do; `other` is the same kind with another key. */
export async function keepsTheContractOfKeyWrappers(own: KeyWrapper, other: KeyWrapper): Promise<void> {
  const {signal} = new AbortController()
  const dataKey = randomBytes(32)
  const wrapped = await own.wrap(dataKey, signal)
  expect(wrapped).toMatchObject({kind: own.kind, id: own.id})
  expect(Buffer.from((await own.unwrap(wrapped, signal)) ?? [])).toEqual(dataKey)
  // Of the key itself nothing may be seen.
  for (const encoding of ['hex', 'base64', 'latin1'] as const) {
    expect(wrapped.wrapped).not.toContain(dataKey.toString(encoding))
  }
  expect(await other.unwrap(wrapped, signal)).toBeUndefined()
  expect(await own.unwrap({...wrapped, wrapped: changed(wrapped.wrapped)}, signal)).toBeUndefined()
  expect(await own.unwrap({...wrapped, wrapped: 'bm9uc2Vuc2U='}, signal)).toBeUndefined()
}

/** One character in the middle is another. */
const changed = (text: string): string => {
  const at = Math.floor(text.length / 2)
  return text.slice(0, at) + (text[at] === 'A' ? 'B' : 'A') + text.slice(at + 1)
}
