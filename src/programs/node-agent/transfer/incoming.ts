import {readdir, readFile, mkdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {z} from 'zod'
import {jsonOf} from '../../../base/json.ts'
import {makeFolderDurably, writeDurably} from '../../../base/durable-files.ts'
import {unlessMissing} from '../../../base/system-errors.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import type {KubeObject} from '../../../kubernetes/types.ts'
import type {Log} from '../../../operator/log.ts'
import type {MemoryPlace} from '../memory-place.ts'
import type {StartTransfer} from './program.ts'
import {receiveDump, RestartedError, type OpenedDump, type ReceivingPlace} from './receive.ts'

/** A dump that was received as a whole. Written beside it, for an agent that is started again. */
const receivedSchema = z.strictObject({
  digest: z.string(),
  sizeBytes: z.int(),
  containers: z.array(z.string()),
  /** One folder per container below it. */
  folder: z.string(),
  /** The boot of the node in which it was received: nothing of it is synced to the disk. */
  boot: z.string(),
})
export type ReceivedFolders = z.output<typeof receivedSchema>

/** Where dumps are received. */
export interface IncomingPlace {
  readonly folder: string
  /** What may be written there now. */
  readonly roomBytes: () => Promise<number>
}

export interface IncomingOptions {
  readonly disk: IncomingPlace
  /** Chosen as long as the dump fits there. */
  readonly memory?: IncomingPlace & Pick<MemoryPlace, 'reserve'>
  /** Holds another value after each boot; default: the kernel's. */
  readonly bootIdFile?: string
  readonly start: StartTransfer
  readonly log: Log
}

export interface Receiving {
  /** Requests the dump, for connections with a key of that pin. */
  readonly open: (pin: string, signal: AbortSignal) => Promise<OpenedDump>
  readonly onBytes: (receivedBytes: number, expectedBytes: number) => void
  readonly signal: AbortSignal
}

/** Dumps that other nodes have sent to this one, by the uid of their Checkpoint. */
export interface IncomingDumps {
  /**
   * Receives a dump into memory if it fits there, else to the disk; what was received of it before is removed first. To
   * be called once at a time for each. Throws CheckpointError TRANSFER_FAILED, TOO_LARGE; nothing of it is left then.
   */
  receive(checkpointUid: string, receiving: Receiving): Promise<ReceivedFolders>
  /** The largest dump that can be received now. */
  roomBytes(): Promise<number>
  /** Undefined: it was not received as a whole. */
  find(checkpointUid: string): Promise<ReceivedFolders | undefined>
  remove(checkpointUid: string): Promise<void>
  /** Removes what an agent before this one has received in part. */
  clean(): Promise<void>
  list(): Promise<readonly string[]>
}

/** Brings the dumps that Migrations move to this node. */
export interface DumpPulls {
  /** Begins to bring the dump of a Migration, unless that is under way, done or not needed. */
  begin(migration: KubeObject): void
  /** Waits until nothing is under way for a Checkpoint. Throws what the last attempt failed with for good. */
  settled(checkpointUid: string): Promise<void>
  /** Gives up what is under way, and removes what was received. */
  remove(checkpointUid: string): Promise<void>
}

const BOOT_ID = '/proc/sys/kernel/random/boot_id'
const UID = /^[0-9a-f-]{36}$/
/** Room that is kept besides what is expected: a process grows until it is frozen. */
const GROWTH_BYTES = 64 * 1024 * 1024

export function incomingDumps({
  disk,
  memory,
  bootIdFile = BOOT_ID,
  start,
  log,
}: IncomingOptions): IncomingDumps {
  const places = [...(memory === undefined ? [] : [memory]), disk]
  const noteOf = (uid: string): string => {
    if (!UID.test(uid)) throw new Error(`"${uid}" is not the uid of a Checkpoint`)
    return join(disk.folder, `${uid}.json`)
  }
  const boot = (): Promise<string> => readFile(bootIdFile, 'utf8')
  const remove = async (uid: string): Promise<void> => {
    await rm(noteOf(uid), {force: true})
    for (const {folder} of places) await rm(join(folder, uid), {recursive: true, force: true})
  }
  const memoryRoom = async (): Promise<number> => (await memory?.roomBytes().catch(() => 0)) ?? 0
  const receiveOnce = async (
    uid: string,
    mayUseMemory: boolean,
    {open, onBytes, signal}: Receiving,
  ): Promise<ReceivedFolders> => {
    await remove(uid)
    const held = {folder: disk.folder, release: (): void => undefined}
    const place = async (expectedBytes: number): Promise<ReceivingPlace> => {
      const inMemory = mayUseMemory ? await memoryRoom() : 0
      const wantedBytes = expectedBytes + GROWTH_BYTES
      const release = inMemory >= wantedBytes ? await memory?.reserve(wantedBytes) : undefined
      if (memory !== undefined && release !== undefined) Object.assign(held, {folder: memory.folder, release})
      const maxBytes = release === undefined ? await disk.roomBytes() : inMemory
      if (expectedBytes > maxBytes)
        throw new CheckpointError(
          'TOO_LARGE',
          `the dump needs about ${expectedBytes} bytes, but ${maxBytes} are free in ${disk.folder}`,
        )
      const folder = join(held.folder, uid)
      await mkdir(folder, {recursive: true, mode: 0o700})
      return {folder, maxBytes}
    }
    try {
      await makeFolderDurably(disk.folder)
      const received = await receiveDump({start, open, place, onBytes, signal})
      const {digest, sizeBytes, containers, folder} = received
      const note = {digest, sizeBytes, containers: [...containers], folder, boot: await boot()}
      await writeDurably(noteOf(uid), JSON.stringify(note))
      return note
    } catch (error) {
      await remove(uid)
      throw isFull(error) ? tooLarge(held.folder, error) : error
    } finally {
      held.release()
    }
  }
  const receiveLast = async (
    uid: string,
    mayUseMemory: boolean,
    receiving: Receiving,
  ): Promise<ReceivedFolders> => {
    for (;;) {
      try {
        return await receiveOnce(uid, mayUseMemory, receiving)
      } catch (error) {
        if (!(error instanceof RestartedError)) throw error
        log('info', 'receiving a dump again: its node began it again', {checkpoint: uid})
      }
    }
  }
  const find = async (uid: string): Promise<ReceivedFolders | undefined> => {
    const text = await readFile(noteOf(uid), 'utf8').catch(unlessMissing)
    const note = receivedSchema.safeParse(jsonOf(text ?? '')).data
    return note?.boot === (await boot()) ? note : undefined
  }
  const list = async (): Promise<readonly string[]> => {
    const names = await Promise.all(
      places.map(async ({folder}) => (await readdir(folder).catch(unlessMissing)) ?? []),
    )
    const uids = names.flat().map((name) => name.replace(/\.json$/, ''))
    return [...new Set(uids.filter((uid) => UID.test(uid)))]
  }
  return {
    async receive(uid, receiving) {
      try {
        return await receiveLast(uid, true, receiving)
      } catch (error) {
        const isTooLarge = error instanceof CheckpointError && error.code === 'TOO_LARGE'
        if (memory === undefined || !isTooLarge) throw error
        log('info', 'receiving a dump again, to the disk', {checkpoint: uid, error: error.message})
      }
      return receiveLast(uid, false, receiving)
    },
    roomBytes: async () => Math.max(await memoryRoom(), await disk.roomBytes()),
    find,
    remove,
    async clean() {
      for (const uid of await list()) if ((await find(uid)) === undefined) await remove(uid)
    },
    list,
  }
}

const FULL = ['ENOSPC', 'EDQUOT']
const isFull = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && FULL.includes(String(error.code))

const tooLarge = (folder: string, cause: unknown): CheckpointError =>
  new CheckpointError('TOO_LARGE', `there is no space left for the dump in ${folder}`, {cause})
