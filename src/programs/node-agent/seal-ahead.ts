import type {FileHandle} from 'node:fs/promises'
import {join} from 'node:path'
import {errorMessage} from '../../base/errors.ts'
import {unlessMissing} from '../../base/system-errors.ts'
import {pause} from '../../base/waiting.ts'
import {MAX_CHUNK_BYTES} from '../../checkpoint/sealed/chunk-buffers.ts'
import type {Ciphers} from '../../checkpoint/sealed/pieces.ts'
import {Sealing, type SealedBytes} from '../../checkpoint/sealed/seal.ts'
import type {Log} from '../../operator/log.ts'
import type {Archives} from './archives.ts'
import type {OpenStore, Stores} from './stores.ts'
import {growingFiles, isSameFile, openFile, readFully, type DumpFile} from './transfer/dump-files.ts'

/** What of a complete dump was sealed while it was written, and what seals the rest. */
export interface SealedAhead {
  readonly sealing: Sealing
  readonly opened: OpenStore
  /** Of a container, by the path in its folder: the first bytes of that file. */
  readonly ofContainer: (name: string) => ReadonlyMap<string, SealedBytes>
}

/**
 * Dumps whose pages are sealed into their store while they are written. Nothing depends on it: what was put into the store
 * counts only when a manifest names it, and is collected with what else no manifest names.
 */
export interface SealsAhead {
  /** Follows a dump that begins; what was sealed of an earlier attempt does not count. */
  begin(dump: {readonly uid: string; readonly namespace: string; readonly storeName: string}): void
  /**
   * Ends it when the dump is complete, and gives what was sealed, once. Undefined: nothing was, it failed, or it is of other
   * files than the dump has now. Throws CheckpointError when the store fails from here on.
   */
  take(uid: string): Promise<SealedAhead | undefined>
  /** Ends it, and forgets what was sealed; resolves when it puts nothing any more. */
  discard(uid: string): Promise<void>
}

/** Each takes some tens of megabytes. */
const AT_ONCE = 4
const READ_BYTES = 1024 * 1024
const PAGE_BYTES = 4096
/** Between two checks of a file that grows by some megabytes in that time. */
const POLL_MS = 10

export interface SealsAheadTools {
  readonly stores: Stores
  readonly ciphers: Ciphers
  readonly dumps: Pick<Archives, 'begun' | 'folderOf'>
  readonly log: Log
  readonly signal: AbortSignal
}

export function sealsAhead(tools: SealsAheadTools): SealsAhead {
  const followed = new Map<string, Following>()
  const discard = async (uid: string): Promise<void> => {
    const one = followed.get(uid)
    followed.delete(uid)
    await one?.discard()
  }
  return {
    begin({uid, namespace, storeName}) {
      void discard(uid)
      if (followed.size < AT_ONCE) followed.set(uid, new Following(uid, {namespace, storeName}, tools))
    },
    async take(uid) {
      const one = followed.get(uid)
      followed.delete(uid)
      return one?.take()
    },
    discard,
  }
}

/** Archives of which nothing stays sealed ahead when they are removed. */
export const withSealsAhead = (archives: Archives, ahead: SealsAhead): Archives => ({
  ...archives,
  async remove(uid) {
    await ahead.discard(uid)
    await archives.remove(uid)
  },
})

interface Followed {
  readonly file: DumpFile
  readonly handle: FileHandle
  readonly pieces: SealedBytes['pieces'][number][]
  sizeBytes: number
}

/** One dump that is followed while it is written. */
class Following {
  readonly #uid: string
  readonly #tools: SealsAheadTools
  readonly #files: Followed[] = []
  /** Aborted: nothing of it is wanted any more. */
  readonly #unwanted = new AbortController()
  readonly #done: Promise<{readonly error?: unknown}>
  #started: {readonly sealing: Sealing; readonly opened: OpenStore} | undefined
  #isTaken = false
  #readBytes = 0
  #hasFailed = false

  constructor(
    uid: string,
    from: {readonly namespace: string; readonly storeName: string},
    tools: SealsAheadTools,
  ) {
    this.#uid = uid
    this.#tools = tools
    this.#done = this.#follow(from).then(
      () => ({}),
      (error: unknown) => {
        this.#hasFailed = true
        if (!this.#unwanted.signal.aborted)
          tools.log('info', 'could not encrypt a dump while it was written', {error: errorMessage(error)})
        return {error}
      },
    )
  }

  async take(): Promise<SealedAhead | undefined> {
    this.#isTaken = true
    const hadFailed = this.#hasFailed
    // A store that has acknowledged nothing may be away: how long that is waited for is counted from now.
    const isSilent = this.#readBytes >= MAX_CHUNK_BYTES && this.#started?.sealing.storedBytes === 0
    if (this.#started === undefined || isSilent) {
      void this.discard()
      return undefined
    }
    const outcome = await this.#done
    const isSame = await this.#isSame().finally(() => this.#close())
    if (hadFailed || this.#unwanted.signal.aborted) return undefined
    if ('error' in outcome) throw outcome.error
    return isSame ? {...this.#started, ofContainer: (name) => this.#sealedOf(name)} : undefined
  }

  async discard(): Promise<void> {
    this.#unwanted.abort()
    await this.#done
    await this.#close()
  }

  #sealedOf(container: string): ReadonlyMap<string, SealedBytes> {
    const found = this.#files.filter(({file, pieces}) => file.container === container && pieces.length > 0)
    return new Map(found.map(({file, pieces, sizeBytes}) => [file.path, {pieces, sizeBytes}]))
  }

  async #follow({namespace, storeName}: {readonly namespace: string; readonly storeName: string}) {
    const {stores, ciphers} = this.#tools
    const signal = AbortSignal.any([this.#tools.signal, this.#unwanted.signal])
    const opened = await stores.open(storeName, {usedBy: namespace, signal})
    const {blobs: store, keys} = opened
    const sealing = new Sealing({namespace, keys: keys.sealing, store, ciphers, readBack: true})
    this.#started = {sealing, opened}
    while (!this.#isTaken) {
      const file = await this.#next()
      if (file === undefined) await pause(POLL_MS, signal)
      else
        for await (const piece of sealing.ahead(this.#growing(file, signal), signal)) {
          file.pieces.push(piece)
          file.sizeBytes += piece.sizeBytes
        }
    }
  }

  /** The next file that nothing was read of, in the order in which CRIU writes them. */
  async #next(): Promise<Followed | undefined> {
    const there = await this.#there()
    const file = there.find((one) => !this.#files.some((known) => isSamePath(known.file, one)))
    if (file === undefined) return undefined
    const handle = await openFile(file.absolute).catch(unlessMissing)
    if (handle === undefined) return undefined
    const followed: Followed = {file, handle, pieces: [], sizeBytes: 0}
    this.#files.push(followed)
    return followed
  }

  async #there(): Promise<readonly DumpFile[]> {
    const containers = this.#tools.dumps.begun(this.#uid)?.containers ?? []
    const found = await Promise.all([...containers].map(([name, {folder}]) => growingFiles({name, folder})))
    return found.flatMap((files) => files.toSorted((one, other) => orderOf(one.path) - orderOf(other.path)))
  }

  /** What is there of a file, in whole pages, until another one is written or the dump is taken. */
  async *#growing({file, handle}: Followed, signal: AbortSignal): AsyncGenerator<Uint8Array> {
    const buffer = Buffer.allocUnsafe(READ_BYTES)
    let at = 0
    for (;;) {
      const isLast = await this.#isOver(file)
      for (;;) {
        if (this.#isTaken) return
        signal.throwIfAborted()
        const {size} = await handle.stat()
        const bytes = Math.min(READ_BYTES, size - at - ((size - at) % PAGE_BYTES))
        if (bytes <= 0) break
        const read = await readFully(handle, buffer.subarray(0, bytes), at)
        if (read < bytes) throw new Error(`${file.path} became shorter while it was read`)
        at += bytes
        this.#readBytes += bytes
        yield buffer.subarray(0, bytes)
      }
      if (isLast) return
      await pause(POLL_MS, signal)
    }
  }

  /** Whether nothing more is written to it: its container's dump is whole, or another file was begun. */
  async #isOver({container, path}: DumpFile): Promise<boolean> {
    if (this.#tools.dumps.begun(this.#uid)?.containers.get(container)?.isWhole === true) return true
    const there = await this.#there()
    return there.some((one) => one.container === container && orderOf(one.path) > orderOf(path))
  }

  /** Whether the dump has the very files that were read, which are no shorter than what was sealed of them. */
  async #isSame(): Promise<boolean> {
    for (const {file, handle, sizeBytes} of this.#files) {
      const folder = await this.#tools.dumps.folderOf(this.#uid, file.container)
      const opened = folder && (await openFile(join(folder, file.path)).catch(unlessMissing))
      if (opened === undefined || opened === '') return false
      await using there = opened
      const stats = await there.stat()
      if (!isSameFile(stats, await handle.stat()) || stats.size < sizeBytes) return false
    }
    return true
  }

  async #close(): Promise<void> {
    await Promise.allSettled(this.#files.map(({handle}) => handle.close()))
  }
}

const isSamePath = (one: DumpFile, other: DumpFile): boolean =>
  one.container === other.container && one.path === other.path

/** `checkpoint/pages-12.img`: CRIU numbers them as it writes them. */
const orderOf = (path: string): number => Number(/(\d+)\.img$/.exec(path)?.[1] ?? 0)
