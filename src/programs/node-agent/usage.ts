import {readdir, readFile} from 'node:fs/promises'
import type {IncomingMessage, ServerResponse} from 'node:http'
import {join} from 'node:path'
import {USAGE_PATH, type Usage} from '../../api/usage.ts'

/** As kubelets name the cgroup of a pod: `pod<uid>`, `kubepods-pod<uid with underscores>.slice`. */
const POD = /pod([0-9a-f]{8}[0-9a-f_-]{24,28})(?:\.slice)?$/
const UNIT = /\.(scope|service|mount|socket)$/
const MOST_LEVELS = 6

/** Processor time that each pod of this node has used since it began, in milliseconds, by its uid. */
export async function podUsage(root: string): Promise<Readonly<Record<string, number>>> {
  const top = await folders(root)
  const isV2 = (await readIfThere(join(root, 'cgroup.controllers'))) !== undefined
  const usage: Record<string, number> = {}
  let level = [isV2 ? root : join(root, top.includes('cpuacct') ? 'cpuacct' : 'cpu,cpuacct')]
  for (let depth = 0; depth < MOST_LEVELS && level.length > 0; depth++) {
    const next: string[] = []
    for (const folder of level) {
      for (const name of await folders(folder)) {
        const uid = POD.exec(name)?.[1]?.replaceAll('_', '-')
        const path = join(folder, name)
        const usedMs = uid === undefined ? undefined : await usedBy(path, isV2)
        if (uid === undefined && !UNIT.test(name)) next.push(path)
        if (uid !== undefined && usedMs !== undefined) usage[uid] = usedMs
      }
    }
    level = next
  }
  return usage
}

/** Undefined: the pod has gone meanwhile. */
async function usedBy(folder: string, isV2: boolean): Promise<number | undefined> {
  const text = await readIfThere(join(folder, isV2 ? 'cpu.stat' : 'cpuacct.usage'))
  if (text === undefined) return undefined
  return isV2 ? Number(/^usage_usec (\d+)$/m.exec(text)?.[1] ?? 0) / 1e3 : Number(text) / 1e6
}

/** Tells the usage of this node's pods. False: another path was asked for. */
export async function serveUsage(
  request: IncomingMessage,
  response: ServerResponse,
  {cgroupRoot, now}: {readonly cgroupRoot: string; readonly now: () => number},
): Promise<boolean> {
  if (request.url !== USAGE_PATH) return false
  const pods = await podUsage(cgroupRoot)
  response
    .setHeader('content-type', 'application/json')
    .end(JSON.stringify({atMs: now(), pods} satisfies Usage))
  return true
}

/** Links count: on some machines `cpuacct` is one. */
async function folders(path: string): Promise<readonly string[]> {
  try {
    const entries = await readdir(path, {withFileTypes: true})
    return entries.filter((entry) => entry.isDirectory() || entry.isSymbolicLink()).map(({name}) => name)
  } catch (error) {
    if (isGone(error)) return []
    throw error
  }
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8')
  } catch (error) {
    if (isGone(error)) return undefined
    throw error
  }
}

/** A cgroup that ended while it was looked at. */
const isGone = (error: unknown): boolean =>
  error instanceof Error && 'code' in error && ['ENOENT', 'ENODEV', 'ENOTDIR'].includes(String(error.code))
