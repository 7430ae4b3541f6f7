import {createReadStream, createWriteStream} from 'node:fs'
import {stat} from 'node:fs/promises'
import {dirname} from 'node:path'
import {pipeline} from 'node:stream/promises'
import {pack} from 'tar-stream'
import type {Pack} from 'tar-stream'

/** Something in a tree that becomes a tar; `path` has no leading slash. */
export type TreeEntry =
  | {readonly path: string; readonly file: string; readonly mode: number}
  | {readonly path: string; readonly text: string; readonly mode: number}
  | {readonly path: string; readonly linkTo: string}

const EPOCH = new Date(0)

/** Writes a tar that depends on the entries alone: sorted names, no times, owner 0, folders 0755. */
export async function writeTar(
  entries: readonly TreeEntry[],
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const archive = pack()
  const written = pipeline(archive, createWriteStream(path), {signal})
  const added = addEntries(archive, entries).catch((error: unknown) => {
    archive.destroy(error instanceof Error ? error : new Error(String(error)))
  })
  try {
    await written
  } finally {
    await added
  }
}

/** Begins an entry. It breaks with its archive, whose end is told to who writes that; nobody else listens to it. */
function beginEntry(
  archive: Pack,
  header: Parameters<Pack['entry']>[0],
  text?: string,
): ReturnType<Pack['entry']> {
  const entry = text === undefined ? archive.entry(header) : archive.entry(header, text)
  return entry.on('error', () => undefined)
}

async function addEntries(archive: Pack, entries: readonly TreeEntry[]): Promise<void> {
  const folders = new Set<string>()
  for (const entry of entries) {
    for (let folder = dirname(entry.path); folder !== '.'; folder = dirname(folder)) folders.add(folder)
  }
  const byPath = new Map<string, TreeEntry | 'folder'>([...folders].map((folder) => [folder, 'folder']))
  for (const entry of entries) byPath.set(entry.path, entry)
  for (const path of [...byPath.keys()].sort()) {
    const entry = byPath.get(path)
    if (entry === undefined || entry === 'folder') {
      beginEntry(archive, {name: `${path}/`, type: 'directory', mode: 0o755, mtime: EPOCH, uid: 0, gid: 0})
    } else {
      await addEntry(archive, entry)
    }
  }
  archive.finalize()
}

async function addEntry(archive: Pack, entry: TreeEntry): Promise<void> {
  const common = {name: entry.path, mtime: EPOCH, uid: 0, gid: 0}
  if ('linkTo' in entry) {
    beginEntry(archive, {...common, type: 'symlink', linkname: entry.linkTo, mode: 0o777})
  } else if ('text' in entry) {
    beginEntry(archive, {...common, mode: entry.mode}, entry.text)
  } else {
    const {size} = await stat(entry.file)
    await pipeline(createReadStream(entry.file), beginEntry(archive, {...common, mode: entry.mode, size}))
  }
}
