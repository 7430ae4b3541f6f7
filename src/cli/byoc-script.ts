import {resolve} from 'node:path'
import {writeAtomically} from '../base/files.ts'

/** Writes a script that holds a credential, for its owner alone; gives its path. */
export async function writeScript(path: string, text: string): Promise<string> {
  const file = resolve(path)
  await writeAtomically(file, text)
  return file
}
