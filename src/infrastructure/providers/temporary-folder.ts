import {createHash} from 'node:crypto'
import {mkdtemp, readdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {stillRuns, type Identify} from '../../terraform/leftover.ts'

/** Which process makes folders. */
export interface FolderOwner {
  readonly pid: number
  readonly hostname: string
  readonly identify: Identify
}

export interface TemporaryOptions {
  /** Where folders are made that are only looked with. */
  readonly temporaryDir: string
  readonly owner: FolderOwner
}

const PREFIX = 'clouder-terraform'
const NAME = new RegExp(`^${PREFIX}-([0-9a-f]{8})-([0-9]+)-([0-9a-f]{8})-`)

/** Makes a folder that tells in its name whose it is, so that it is never there without that. */
export async function makeTemporary({temporaryDir, owner}: TemporaryOptions): Promise<string> {
  const {pid, hostname, identify} = owner
  const identity = (await identify(pid)) ?? ''
  return mkdtemp(join(temporaryDir, `${PREFIX}-${short(hostname)}-${pid}-${short(identity)}-`))
}

/** Removes folders of runs of this machine that were killed, unless their Terraform still works there. */
export async function removeStale({temporaryDir, owner}: TemporaryOptions): Promise<void> {
  const {hostname, identify} = owner
  for (const entry of await readdir(temporaryDir)) {
    const [, host, pid, identity] = NAME.exec(entry) ?? []
    // The same folder may be seen from containers, where other processes have these numbers.
    if (host !== short(hostname)) continue
    const now = await identify(Number(pid))
    if (now !== undefined && short(now) === identity) continue
    await removeUnlessUsed(join(temporaryDir, entry), identify)
  }
}

async function removeUnlessUsed(dir: string, identify: Identify): Promise<void> {
  try {
    if (!(await stillRuns(dir, identify))) await rm(dir, {recursive: true, force: true})
  } catch (error) {
    // Of another user, or another run removes it too: no reason to fail.
    if (!(error instanceof Error && 'code' in error)) throw error
  }
}

const short = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 8)
