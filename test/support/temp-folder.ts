import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'

/** Gives a new empty folder and removes it after. */
export async function withTempFolder<T>(use: (dir: string) => Promise<T>): Promise<T> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-test-'))
  try {
    return await use(dir)
  } finally {
    await rm(dir, {recursive: true, force: true})
  }
}

/** A new empty folder that is removed when the caller's block ends. */
export async function tempFolder(): Promise<AsyncDisposable & {readonly path: string}> {
  const path = await mkdtemp(join(tmpdir(), 'clouder-test-'))
  return {path, [Symbol.asyncDispose]: () => rm(path, {recursive: true, force: true})}
}
