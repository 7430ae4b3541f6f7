import {randomUUID} from 'node:crypto'
import {mkdir, open, rename, rm, type FileHandle} from 'node:fs/promises'
import {dirname} from 'node:path'

export interface DurableOptions {
  readonly mode?: number
  /** Called with the path of the whole content, before it takes the place of the old one. */
  readonly beforeRename?: (partial: string) => Promise<void>
}

/**
 * Writes a file whose readers see the old content or the new, never a part, and which survives a power cut: the content
 * is on the disk before the name is, and the name when this returns. Its folder has to exist.
 */
export async function writeDurably(
  path: string,
  content: string | Uint8Array,
  {mode = 0o600, beforeRename}: DurableOptions = {},
): Promise<void> {
  const partial = `${path}.${randomUUID()}.tmp`
  try {
    await using file = await open(partial, 'wx', mode)
    await file.writeFile(content)
    await beforeRename?.(partial)
    await putInPlace(file, partial, path)
  } catch (error) {
    await rm(partial, {force: true})
    throw error
  }
}

/** Gives a file that was written under another name its own, durably. `file`: the open file. */
export async function putInPlace(file: FileHandle, partial: string, path: string): Promise<void> {
  await file.sync()
  await rename(partial, path)
  await syncFolder(dirname(path))
}

interface FolderSync {
  readonly running: Promise<void>
  /** Begins when that has ended. */
  next?: Promise<void>
}

const syncs = new Map<string, FolderSync>()

/**
 * A rename or a link survives a power cut only after its folder was synced. Who comes while that is under way waits for
 * one more, together with all others who come: the one that has begun need not include their names.
 */
export function syncFolder(path: string): Promise<void> {
  const under = syncs.get(path)
  if (under === undefined) return startSync(path)
  const start = (): Promise<void> => startSync(path)
  under.next ??= under.running.then(start, start)
  return under.next
}

function startSync(path: string): Promise<void> {
  const running = syncNow(path).finally(() => {
    if (syncs.get(path)?.next === undefined) syncs.delete(path)
  })
  syncs.set(path, {running})
  return running
}

async function syncNow(path: string): Promise<void> {
  await using folder = await open(path, 'r')
  await folder.sync()
}

/** Makes a folder that only its owner can enter, and its parents; the names of all of them survive a power cut. */
export async function makeFolderDurably(path: string): Promise<void> {
  const first = await mkdir(path, {recursive: true, mode: 0o700})
  if (first === undefined) return
  for (let made = path; made.length >= first.length; made = dirname(made)) await syncFolder(dirname(made))
}
