import {createSecretKey, hkdfSync, randomBytes, type KeyObject} from 'node:crypto'
import {CheckpointError} from '../errors.ts'
import type {Envelope} from '../../api/sealed-checkpoint.ts'

const DATA_KEY_BYTES = 32

export type WrappedKey = Envelope['keys'][number]

/** One way to keep a data key: an age recipient, a key of a KMS. */
export interface KeyWrapper {
  readonly kind: WrappedKey['kind']
  /** Recipient, or id of the key. */
  readonly id: string
  /** Throws CheckpointError KEY_WRONG, KEY_UNREACHABLE. */
  wrap(dataKey: Uint8Array, signal: AbortSignal): Promise<WrappedKey>
  /** Undefined: it was wrapped for somebody else. Throws CheckpointError KEY_UNREACHABLE. */
  unwrap(wrapped: WrappedKey, signal: AbortSignal): Promise<Uint8Array | undefined>
}

/** What checkpoints of one store are sealed with. The data key stays in memory; kept are only its wrapped forms. */
export type SealingKeys =
  | {
      readonly encryption: 'aes-256-gcm'
      readonly dataKey: KeyObject
      readonly wrapped: readonly WrappedKey[]
    }
  | {readonly encryption: 'none'}

/**
 * The key of a namespace under the data key of a store. Equal pieces of two namespaces seal to different bytes, so that
 * neither can tell from what it costs to store a guess whether the other has it.
 */
export const scopedKey = (dataKey: KeyObject, scope: string): KeyObject =>
  createSecretKey(
    Buffer.from(
      hkdfSync(
        'sha256',
        dataKey,
        Buffer.alloc(0),
        `clouder checkpoint v1: namespace ${scope}`,
        DATA_KEY_BYTES,
      ),
    ),
  )

/** Every way that this cluster has to open a checkpoint; the first that fits is taken. */
export type OpeningKeys = readonly KeyWrapper[]

/**
 * The keys of a store, from the wrapped data key that it has: none yet gives a new one. One that was also wrapped for
 * a recipient who is no longer named is given up, as that recipient knows it. `changed`: keep `keys.wrapped` in
 * place of what was given. Throws CheckpointError KEY_WRONG, KEY_UNREACHABLE.
 */
export async function sealingKeys(options: {
  readonly wrapped: readonly WrappedKey[] | undefined
  readonly wrappers: readonly KeyWrapper[]
  readonly signal: AbortSignal
}): Promise<{readonly keys: SealingKeys & {encryption: 'aes-256-gcm'}; readonly changed: boolean}> {
  const {wrapped = [], wrappers, signal} = options
  const named = (key: {kind: string; id: string}, by: readonly {kind: string; id: string}[]) =>
    by.some(({kind, id}) => key.kind === kind && key.id === id)
  const stays = wrapped.length > 0 && wrapped.every((key) => named(key, wrappers))
  const dataKey = stays ? await unwrapDataKey(wrapped, wrappers, signal) : randomBytes(DATA_KEY_BYTES)
  const kept = stays ? wrapped : []
  const absent = wrappers.filter((wrapper) => !named(wrapper, kept))
  const added = await Promise.all(absent.map((wrapper) => wrapper.wrap(dataKey, signal)))
  return {
    keys: {encryption: 'aes-256-gcm', dataKey: createSecretKey(dataKey), wrapped: [...kept, ...added]},
    changed: added.length > 0,
  }
}

/** The data key of an envelope. Throws CheckpointError KEY_WRONG when none opens it. */
export async function unwrapDataKey(
  wrapped: readonly WrappedKey[],
  wrappers: OpeningKeys,
  signal: AbortSignal,
): Promise<Uint8Array> {
  for (const key of wrapped) {
    for (const wrapper of wrappers) {
      if (wrapper.kind !== key.kind) continue
      const dataKey = await wrapper.unwrap(key, signal)
      if (dataKey?.length === DATA_KEY_BYTES) return dataKey
    }
  }
  const ways = wrapped.map(({kind, id}) => `${kind} ${id}`).join(', ')
  throw new CheckpointError(
    'KEY_WRONG',
    `no key of this cluster can decrypt data that was encrypted for ${ways}`,
    {
      suggestions: [
        'add the age identity that it was encrypted for to the CheckpointStore, or allow the nodes to use that KMS key',
      ],
    },
  )
}
