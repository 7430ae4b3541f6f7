import {access, constants, stat} from 'node:fs/promises'
import {delimiter, join, resolve} from 'node:path'

/**
 * The executable file that a program's name stands for: the first in the folders of PATH; a name with a slash is a path.
 * An empty entry of PATH does not mean the working directory, as it does in a shell: a program there was not installed.
 */
export async function findOnPath(program: string, path: string | undefined): Promise<string | undefined> {
  const folders = (path ?? '').split(delimiter).filter((folder) => folder !== '')
  const candidates = program.includes('/')
    ? [resolve(program)]
    : folders.map((folder) => join(folder, program))
  for (const candidate of candidates) {
    if (await isExecutableFile(candidate)) return candidate
  }
  return undefined
}

/** The kernel is asked: file modes say nothing of ACLs, or of file systems mounted noexec. */
export async function isExecutableFile(path: string): Promise<boolean> {
  try {
    await access(path, constants.X_OK)
    return (await stat(path)).isFile()
  } catch {
    return false
  }
}
