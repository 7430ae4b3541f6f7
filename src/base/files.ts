import {mkdir, open, readFile, rmdir, type FileHandle} from 'node:fs/promises'
import {dirname} from 'node:path'
import {writeDurably} from './durable-files.ts'
import {StateError} from './errors.ts'
import {systemCode} from './system-errors.ts'

const MAKE_FOLDER_ATTEMPTS = 100

/** A file's text; undefined when there is none. Throws StateError RECORD_INVALID when it cannot be read. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw new StateError('RECORD_INVALID', `${path} cannot be read: ${code ?? String(error)}`, {cause: error})
  }
}

/** Makes a folder that only its owner can enter, and its parents. Throws StateError STATE_UNWRITABLE. */
export async function makeFolder(path: string): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await mkdir(path, {recursive: true, mode: 0o700})
      return
    } catch (error) {
      // Another process can remove the empty folder between mkdir's own look and its answer.
      if (systemCode(error) !== 'ENOENT' || attempt === MAKE_FOLDER_ATTEMPTS) throw unwritable(path, error)
    }
  }
}

/**
 * Writes a file of mode 0600 under a temporary name, then renames: readers see the old text or the new, never a part.
 * Throws StateError STATE_UNWRITABLE.
 */
export async function writeAtomically(path: string, text: string): Promise<void> {
  await makeFolder(dirname(path))
  try {
    await writeDurably(path, text)
  } catch (error) {
    throw unwritable(path, error)
  }
}

/** Creates a file of mode 0600, waits until its content is on the disk, and leaves it open. */
export async function createDurably(path: string, text: string): Promise<FileHandle> {
  const file = await open(path, 'wx', 0o600)
  try {
    await file.writeFile(text)
    await file.sync()
    return file
  } catch (error) {
    await file.close()
    throw error
  }
}

/** Removes a folder unless something is in it, or it is gone already. */
export async function removeIfEmpty(path: string): Promise<void> {
  try {
    await rmdir(path)
  } catch (error) {
    const code = systemCode(error)
    if (code !== 'ENOTEMPTY' && code !== 'EEXIST' && code !== 'ENOENT') throw error
  }
}

export function unwritable(path: string, error: unknown): StateError {
  return new StateError(
    'STATE_UNWRITABLE',
    `${path} cannot be written: ${systemCode(error) ?? String(error)}`,
    {
      cause: error,
      suggestions: [
        `make the folder writable and its disk not full: ls -ld ${dirname(path)}; df -h ${dirname(path)}`,
        'or choose another folder: CLOUDER_HOME=/path/of/yours clouder …',
      ],
    },
  )
}
