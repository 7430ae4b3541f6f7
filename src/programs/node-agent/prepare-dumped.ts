import {copyFile, link, mkdir, readdir, rm, stat, symlink} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'
import type {ArchiveBounds} from '../../checkpoint/archive/read.ts'
import {parentLinks, roundsIn} from '../../checkpoint/archive/pre-copy.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {podNamespacesSchema} from '../../kubernetes/pod.ts'
import type {Named} from './checkpoint-object.ts'
import {folderTar} from './folder-tar.ts'
import {plainTar} from './plain-tar.ts'
import type {AgentTools, ArchiveFacts} from './tools.ts'

export type DumpedTools = Pick<AgentTools, 'archives' | 'incoming' | 'inspect' | 'node' | 'pulls' | 'signal'>

/** A container's dump that is on this node, complete. */
export interface DumpedHere {
  readonly name: string
  readonly folder: string
}

/**
 * Finds the dump of a Checkpoint in phase Dumped on this node: received from the source, or its own. Waits while it is
 * being received. Throws CheckpointError CHECKPOINT_UNKNOWN when it is neither, and what it was refused with.
 */
export async function dumpedHere(checkpoint: Named, tools: DumpedTools): Promise<readonly DumpedHere[]> {
  const {incoming, pulls, archives, node} = tools
  const {uid, status = {}, spec, namespace, name} = checkpoint
  if (status.nodeName === node) {
    const folders = (status.containers ?? []).map(async (container) => ({
      name: container.name,
      folder: await archives.folderOf(uid, container.name),
    }))
    return (await Promise.all(folders)).map(({name: container, folder}) => {
      if (folder !== undefined) return {name: container, folder}
      throw unknown(`the dump of container ${container} no longer exists on ${node}`)
    })
  }
  if (spec.transfer?.nodeName === node) {
    await pulls.settled(uid)
    const received = await incoming.find(uid)
    if (received !== undefined && received.digest === status.transfer?.digest)
      return received.containers.map((container) => ({
        name: container,
        folder: join(received.folder, container),
      }))
  }
  throw unknown(
    `checkpoint ${namespace}/${name} is on nodes ${status.nodeName ?? ''} and ${spec.transfer?.nodeName ?? ''} only, and not complete on ${node}`,
  )
}

const unknown = (why: string): CheckpointError => new CheckpointError('CHECKPOINT_UNKNOWN', why)

/** What a dump says of its container, as this node reads it: no one else's word is relied on. */
export async function factsOf(
  {folder}: DumpedHere,
  {status}: Named,
  {inspect, signal}: Pick<AgentTools, 'inspect' | 'signal'>,
): Promise<ArchiveFacts> {
  const pod = podNamespacesSchema.parse(status?.podTemplate?.spec)
  return inspect((await folderTar(folder)).skim(), pod, signal)
}

export interface DumpedParts {
  readonly imageDir: string
  /** A tar of files that the container had changed; absent: none. */
  readonly changes?: string
}

const CHANGES = 'rootfs-diff.tar'

/**
 * Gives a container the files of a dump in a folder of its own, as links where that is possible: a restore writes to
 * some of them, and the dump is needed unchanged if it fails. Throws CheckpointError TOO_LARGE.
 */
export async function linkDump(
  folder: string,
  target: string,
  most: ArchiveBounds,
  signal: AbortSignal,
): Promise<DumpedParts> {
  const {size: filesBytes} = (await stat(join(folder, CHANGES)).catch(unlessMissing)) ?? {size: 0}
  if (filesBytes > most.filesBytes)
    throw new CheckpointError(
      'TOO_LARGE',
      `the checkpoint cannot be unpacked: its changed files are larger than its ephemeral-storage limit, ${most.filesBytes} bytes`,
    )
  await rm(target, {recursive: true, force: true})
  await linkTree(folder, target, signal)
  const images = join(target, 'checkpoint')
  for (const {path, to} of parentLinks(roundsIn(await readdir(images)))) await symlink(to, join(images, path))
  const changes = join(target, CHANGES)
  const hasChanges = (await stat(changes).catch(unlessMissing)) !== undefined
  if (hasChanges) await plainTar(changes, signal, most.filesBytes)
  return {imageDir: images, ...(hasChanges ? {changes} : {})}
}

async function linkTree(from: string, to: string, signal: AbortSignal): Promise<void> {
  await mkdir(to, {recursive: true, mode: 0o700})
  const entries = await readdir(from, {recursive: true, withFileTypes: true})
  for (const entry of entries.filter((one) => one.isFile())) {
    signal.throwIfAborted()
    const source = join(entry.parentPath, entry.name)
    const path = join(to, source.slice(from.length + 1))
    await mkdir(dirname(path), {recursive: true, mode: 0o700})
    await link(source, path).catch(async (error: unknown) => {
      if (!(error instanceof Error && 'code' in error && error.code === 'EXDEV')) throw error
      await copyFile(source, path)
    })
  }
}
