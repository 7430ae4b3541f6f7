import {createHash, randomBytes} from 'node:crypto'
import {EventEmitter} from 'node:events'
import {readdir, readFile, rm, type FileHandle} from 'node:fs/promises'
import {join} from 'node:path'
import type {Archives} from '../archives.ts'
import {CheckpointError} from '../../../checkpoint/errors.ts'
import {makeFolderDurably, writeDurably} from '../../../base/durable-files.ts'
import {unlessMissing} from '../../../base/system-errors.ts'
import {pause} from '../../../base/waiting.ts'
import {
  allFiles,
  growingFiles,
  isSameFile,
  openFile,
  type ContainerFolder,
  type DumpFile,
} from './dump-files.ts'
import {MAX_MANIFEST_BYTES, manifestSchema, PIECE_BYTES, type Manifest} from './frames.ts'

/** What names a complete dump in the status of its Checkpoint. */
export interface OfferedDump {
  readonly digest: string
  readonly sizeBytes: number
}

/** A file that is being sent while it grows. */
interface Growing {
  readonly handle: FileHandle
  sentPieces: number
}

/** A dump as those see it who send it. */
export interface DumpView {
  /** Another number: the dump was begun again, and what was sent does not count. */
  readonly epoch: number
  /** So large it is, or is expected to be; 0: that is not known. */
  readonly sizeBytes: number
  /** Files that may grow; or all, when the manifest is there. */
  readonly files: readonly DumpFile[]
  readonly manifest?: Buffer
}

/** Dumps of this node that other nodes may be sent. */
export interface OutgoingDumps {
  /**
   * Describes a complete dump, so that it can be sent as a whole. May be done again: the digest is another one then.
   * Throws CheckpointError CHECKPOINT_FAILED.
   */
  offer(checkpointUid: string, containers: readonly ContainerFolder[]): Promise<OfferedDump>
  /** What there is to send by now. Undefined: no dump was begun. */
  view(checkpointUid: string): Promise<DumpView | undefined>
  /**
   * The number on the disk of a file that may grow, which no other file gets as long as it is sent. Undefined: it is not
   * there any more, or the dump is complete.
   */
  inodeOf(checkpointUid: string, file: DumpFile): Promise<string | undefined>
  /** Notes that a piece was sent of that epoch; `name` is of container and path. */
  notePiece(checkpointUid: string, epoch: number, name: string): void
  /** What the target has room for, while it is connected; undefined: it is not. */
  noteRoom(checkpointUid: string, roomBytes: number | undefined): void
  /** What a target that connects within half a minute has room for. Undefined: none does. */
  roomOf(checkpointUid: string, signal: AbortSignal): Promise<number | undefined>
  /** How much of the growing files of a dump there is that nobody was sent. */
  unsentBytes(checkpointUid: string): Promise<number>
  /** Forgets a dump; nobody is sent it any more. */
  forget(checkpointUid: string): Promise<void>
  /** Checkpoints of which something is kept here. */
  list(): Promise<readonly string[]>
}

interface State {
  epoch: number
  attempt?: string
  readonly growing: Map<string, Growing>
  manifest?: Buffer
  files?: readonly DumpFile[]
}

const UID = /^[0-9a-f-]{8,64}$/
/** The target requests a dump as soon as its Checkpoint is there; one whose agent is started just now, somewhat later. */
const CONNECT_MS = 30_000
const keyOf = ({container, path}: Pick<DumpFile, 'container' | 'path'>): string => `${container}/${path}`

/** `folder`: where manifests are kept, for an agent that is started again while another node still reads. */
export function outgoingDumps(folder: string, dumps: Pick<Archives, 'begun' | 'folderOf'>): OutgoingDumps {
  const states = new Map<string, State>()
  const rooms = new Map<string, number>()
  const arrivals = new EventEmitter()
  let lastEpoch = 0
  const manifestFile = (uid: string): string => {
    if (!UID.test(uid)) throw new Error(`"${uid}" is not the uid of a Checkpoint`)
    return join(folder, `${uid}.json`)
  }
  const stateOf = (uid: string): State => {
    const state = states.get(uid) ?? {epoch: (lastEpoch += 1), growing: new Map()}
    states.set(uid, state)
    return state
  }
  const begunAgain = async (state: State): Promise<void> => {
    state.epoch = lastEpoch += 1
    await closeAll(state)
  }
  const closeAll = async (state: State): Promise<void> => {
    const handles = [...state.growing.values()].map(({handle}) => handle)
    state.growing.clear()
    await Promise.all(handles.map((handle) => handle.close()))
  }
  /** Its handle is kept open, so that no other file can get its number on the disk. */
  const growingOf = async (state: State, file: DumpFile): Promise<Growing | undefined> => {
    const known = state.growing.get(keyOf(file))
    if (known !== undefined) return known
    const handle = await openFile(file.absolute).catch(unlessMissing)
    if (handle === undefined) return undefined
    const opened = state.growing.get(keyOf(file))
    if (opened === undefined) {
      const growing = {handle, sentPieces: 0}
      state.growing.set(keyOf(file), growing)
      return growing
    }
    await handle.close()
    return opened
  }
  /** Whether what was read of a file is of the one that is at its path now. */
  const isStale = async (state: State, file: DumpFile): Promise<boolean> => {
    const known = state.growing.get(keyOf(file))
    if (known === undefined) return false
    const there = await openFile(file.absolute).catch(unlessMissing)
    if (there === undefined) return false
    await using now = there
    const own = await known.handle.stat().catch((error: unknown) => {
      // Closed meanwhile: what was read of it counts no more, or is complete.
      if (state.growing.get(keyOf(file)) !== known) return undefined
      throw error
    })
    return own !== undefined && !isSameFile(await now.stat(), own)
  }
  const kept = async (uid: string): Promise<Buffer | undefined> =>
    readFile(manifestFile(uid)).catch(unlessMissing)
  /** Of an agent before this one. */
  const resume = async (uid: string): Promise<State | undefined> => {
    const manifest = await kept(uid)
    if (manifest === undefined) return undefined
    const {containers, files} = manifestSchema.parse(JSON.parse(manifest.toString()))
    const folders = new Map<string, string>()
    for (const name of containers) {
      const found = await dumps.folderOf(uid, name)
      if (found === undefined) return undefined
      folders.set(name, found)
    }
    const state = stateOf(uid)
    state.manifest = manifest
    state.files = files.map(({container, path, sizeBytes}) => ({
      ...{container, path, sizeBytes},
      absolute: join(folders.get(container) ?? '', path),
    }))
    return state
  }
  return {
    async offer(uid, containers) {
      const state = stateOf(uid)
      const files = (await Promise.all(containers.map(allFiles))).flat()
      const keys = new Set(files.map(keyOf))
      if ([...state.growing.keys()].some((key) => !keys.has(key))) await begunAgain(state)
      for (const file of files) if (await isStale(state, file)) await begunAgain(state)
      const manifest: Manifest = {
        attempt: randomBytes(32).toString('hex'),
        containers: containers.map(({name}) => name),
        files: files.map(({container, path, sizeBytes}) => ({container, path, sizeBytes})),
      }
      const bytes = Buffer.from(JSON.stringify(manifest))
      if (bytes.length > MAX_MANIFEST_BYTES)
        throw new CheckpointError('CHECKPOINT_FAILED', `the dump has too many files: ${files.length}`)
      await makeFolderDurably(folder)
      await writeDurably(manifestFile(uid), bytes)
      state.files = files
      state.manifest = bytes
      await closeAll(state)
      return {digest: digestOf(bytes), sizeBytes: sumOf(files)}
    },
    async view(uid) {
      let state = states.get(uid)
      if (state?.manifest === undefined) state = (await resume(uid)) ?? state
      if (state?.manifest !== undefined && state.files !== undefined)
        return {
          ...{epoch: state.epoch, files: state.files, manifest: state.manifest},
          sizeBytes: sumOf(state.files),
        }
      const begun = dumps.begun(uid)
      if (begun === undefined) return undefined
      state = stateOf(uid)
      if (state.attempt !== begun.attempt && state.attempt !== undefined) await begunAgain(state)
      state.attempt = begun.attempt
      const containers = [...begun.containers].map(([name, {folder}]) => ({name, folder}))
      const files = (await Promise.all(containers.map(growingFiles))).flat()
      for (const file of files) if (await isStale(state, file)) await begunAgain(state)
      return {epoch: state.epoch, files, sizeBytes: begun.expectedBytes}
    },
    async inodeOf(uid, file) {
      const state = states.get(uid)
      if (state === undefined || state.manifest !== undefined) return undefined
      const growing = await growingOf(state, file)
      const stats = await growing?.handle.stat({bigint: true}).catch((error: unknown) => {
        // Closed meanwhile: it is complete, or was begun again.
        if (state.growing.get(keyOf(file)) !== growing) return undefined
        throw error
      })
      return stats?.ino.toString()
    },
    notePiece(uid, epoch, name) {
      const state = states.get(uid)
      const growing = state?.epoch === epoch ? state.growing.get(name) : undefined
      if (growing !== undefined) growing.sentPieces += 1
    },
    noteRoom(uid, roomBytes) {
      if (roomBytes === undefined) rooms.delete(uid)
      else {
        rooms.set(uid, roomBytes)
        arrivals.emit(uid)
      }
    },
    async roomOf(uid, signal) {
      if (rooms.has(uid)) return rooms.get(uid)
      // Read when it connects: one that refuses the dump at once is gone a moment later.
      const {promise, resolve} = Promise.withResolvers<number | undefined>()
      const arrived = (): void => resolve(rooms.get(uid))
      arrivals.once(uid, arrived)
      try {
        return await Promise.race([promise, pause(CONNECT_MS, signal).then(() => undefined)])
      } finally {
        arrivals.off(uid, arrived)
      }
    },
    async unsentBytes(uid) {
      const begun = dumps.begun(uid)
      if (begun === undefined) return 0
      const containers = [...begun.containers].map(([name, {folder}]) => ({name, folder}))
      const files = (await Promise.all(containers.map(growingFiles))).flat()
      return files.reduce((sum, file) => {
        const pieces = states.get(uid)?.growing.get(keyOf(file))?.sentPieces ?? 0
        return sum + Math.max(0, Math.floor(file.sizeBytes / PIECE_BYTES) - pieces) * PIECE_BYTES
      }, 0)
    },
    async forget(uid) {
      const state = states.get(uid)
      states.delete(uid)
      if (state !== undefined) await begunAgain(state)
      await rm(manifestFile(uid), {force: true})
    },
    async list() {
      const names = (await readdir(folder).catch(unlessMissing)) ?? []
      const stored = names.flatMap((name) => (name.endsWith('.json') ? [name.slice(0, -5)] : []))
      return [...new Set([...stored.filter((uid) => UID.test(uid)), ...states.keys()])]
    },
  }
}

const sumOf = (files: readonly DumpFile[]): number => files.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0)

/** Archives that are forgotten by those who send them when they are removed. */
export const withOutgoing = (archives: Archives, outgoing: OutgoingDumps): Archives => ({
  ...archives,
  async remove(uid) {
    await outgoing.forget(uid)
    await archives.remove(uid)
  },
  list: async () => [...new Set([...(await archives.list()), ...(await outgoing.list())])],
})

export const digestOf = (manifest: Uint8Array): string =>
  `sha256:${createHash('sha256').update(manifest).digest('hex')}`
