import type {BlobStore, Digest} from '../../src/checkpoint/stores/blob-store.ts'
import {gather, hexOf} from '../../src/checkpoint/stores/content.ts'
import {objectStore} from '../../src/checkpoint/stores/object-store.ts'
import type {Objects, StoreProblem} from '../../src/checkpoint/stores/objects.ts'

export interface StoreCall {
  readonly operation: 'stat' | 'write' | 'read' | 'list' | 'remove' | 'touch'
  readonly key: string
  /** From 1, over all calls. */
  readonly number: number
}

/**
 * What goes wrong in a call. `passing`, `refused`: the store says so, and nothing was done. `lost`: it was done, but the
 * answer is lost. `killed`, `killed-after`: whoever called dies, before or after it was done; nothing works any more
 * until `revive()`.
 */
export type Fault = 'passing' | 'refused' | 'lost' | 'killed' | 'killed-after'

export interface MemoryBlobsOptions {
  readonly location?: string
  readonly now?: () => number
  /** Asked before each call is made, which waits for what it gives. */
  readonly fault?: (call: StoreCall) => Fault | undefined | Promise<undefined>
}

export interface MemoryBlobs extends BlobStore {
  readonly calls: readonly StoreCall[]
  /** Every object by its key: `blobs/sha256/<hex>`, `manifests/<hex>/<name>`. */
  readonly objects: ReadonlyMap<string, Uint8Array>
  /** Flips a bit of a blob behind the store's back. */
  tamper(digest: Digest): void
  revive(): void
}

class MemoryFault extends Error {
  readonly fault: Fault

  constructor(fault: Fault, {operation, key}: StoreCall) {
    super(`${fault} in ${operation} of ${key}`)
    this.fault = fault
  }
}

interface Held {
  readonly content: Uint8Array
  modifiedAtMs: number
}

/** A BlobStore without a disk or a network; passes the contract of the others. */
export function memoryBlobs({
  location = 'memory',
  now = Date.now,
  fault = () => undefined,
}: MemoryBlobsOptions = {}): MemoryBlobs {
  const held = new Map<string, Held>()
  const calls: StoreCall[] = []
  let dead: MemoryFault | undefined
  const call = async <T>(
    operation: StoreCall['operation'],
    key: string,
    work: () => T,
  ): Promise<Awaited<T>> => {
    if (dead !== undefined) throw dead
    const made = {operation, key, number: calls.length + 1}
    calls.push(made)
    const wrong = await fault(made)
    const failure = wrong === undefined ? undefined : new MemoryFault(wrong, made)
    if (wrong === 'killed' || wrong === 'killed-after') dead = failure
    if (failure !== undefined && wrong !== 'lost' && wrong !== 'killed-after') throw failure
    const result = await work()
    if (failure !== undefined) throw failure
    return result
  }
  const infoOf = (key: string) => {
    const object = held.get(key)
    return object && {key, sizeBytes: object.content.length, modifiedAtMs: object.modifiedAtMs}
  }
  const objects: Objects = {
    location,
    stat: (key) => call('stat', key, () => infoOf(key)),
    write: ({key, content, replace, signal}) =>
      call('write', key, async () => {
        const gathered = await gather(content)
        signal.throwIfAborted()
        if (replace || !held.has(key)) held.set(key, {content: gathered, modifiedAtMs: now()})
        return undefined
      }),
    read: (key, fromByte) =>
      call('read', key, () => {
        const object = held.get(key)
        return object && inPieces(object.content.subarray(fromByte))
      }),
    list: async function* (prefix) {
      yield* await call('list', prefix, () =>
        [...held.keys()].filter((key) => key.startsWith(prefix)).flatMap((key) => infoOf(key) ?? []),
      )
    },
    remove: (key) => call('remove', key, () => void held.delete(key)),
    touch: (key) =>
      call('touch', key, () => {
        const object = held.get(key)
        if (object !== undefined) object.modifiedAtMs = now()
      }),
    removePartial: () => Promise.resolve(),
    problemOf,
  }
  return {
    ...objectStore(objects, {pauseMs: 0, now}),
    calls,
    get objects() {
      return new Map([...held].map(([key, {content}]) => [key, content]))
    },
    tamper: (digest) => {
      const object = held.get(`blobs/sha256/${hexOf(digest)}`)
      const [first] = object?.content ?? []
      if (object === undefined || first === undefined)
        throw new TypeError(`${digest} has no byte to tamper with`)
      object.content[0] = first ^ 1
    },
    revive: () => {
      dead = undefined
    },
  }
}

function problemOf(error: unknown): StoreProblem | undefined {
  if (!(error instanceof MemoryFault)) return undefined
  if (error.fault === 'passing' || error.fault === 'lost') return {kind: 'passing', words: error.message}
  return error.fault === 'refused' ? {kind: 'refused', words: error.message} : undefined
}

const PIECE_BYTES = 64 * 1024

async function* inPieces(content: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let from = 0; from < content.length; from += PIECE_BYTES) {
    yield await Promise.resolve(content.subarray(from, from + PIECE_BYTES))
  }
}
