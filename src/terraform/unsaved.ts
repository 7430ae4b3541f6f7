import {readFile, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {unlessMissing} from '../base/system-errors.ts'
import {writeDurably} from '../base/durable-files.ts'

/** Terraform's own name for a state that it could not save where it belongs. */
export function unsavedState(dir: string): string {
  return join(dir, 'errored.tfstate')
}

const lockFile = (dir: string): string => join(dir, 'unreleased-lock')

/** Remembers a lock that a run of this folder could not give back: its credentials expired, its backend went away. */
export async function rememberLock(dir: string, id: string): Promise<void> {
  await writeDurably(lockFile(dir), id)
}

/** Whether the lock is one that a run of this folder could not give back. */
export async function isOwnLock(dir: string, id: string): Promise<boolean> {
  return (await readFile(lockFile(dir), 'utf8').catch(unlessMissing)) === id
}

export async function forgetLock(dir: string): Promise<void> {
  await rm(lockFile(dir), {force: true})
}
