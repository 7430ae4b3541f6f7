import {readdir, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {promisify} from 'node:util'
import {zstdDecompress} from 'node:zlib'
import {MEMORY_DIR} from '../../src/api/names.ts'
import {gather} from '../../src/checkpoint/stores/content.ts'
import type {Objects} from '../../src/checkpoint/stores/objects.ts'
import {containerName} from '../../src/infrastructure/providers/local-decision.ts'
import type {E2eCluster} from './e2e-cluster.ts'
import {SHARED} from './e2e-stores.ts'

const unzstd = promisify(zstdDecompress)
const {signal} = new AbortController()
/** Where a search's own patterns lie: what it has to find at least. */
const PATTERNS = '/srv/patterns'
/** File systems of a node: its root, what containerd and the kubelet keep, and what is in memory only, dumps too. */
const FILE_SYSTEMS = `/ /var/lib/containerd /var/lib/kubelet /run /run/lock /tmp /dev/shm ${MEMORY_DIR} ${SHARED}`

/** As it is, and as Secrets and events would hold it. */
const formsOf = (canary: string): readonly string[] => [canary, Buffer.from(canary).toString('base64')]

/** Whether a text holds a canary, in any form. */
export const tells = (text: string | Buffer, canary: string): boolean =>
  formsOf(canary).some((form) => text.includes(form))

export interface Find {
  readonly path: string
  readonly canary: string
}

/**
 * Files of a node that hold canaries in clear, in all that is a file there: every file system of the node itself, so the
 * layers and snapshots of containers too, logs, journal. Not searched: processes' memory, the file systems in memory that a
 * kubelet mounts for one pod (Secrets, tokens), and the data of etcd.
 */
export async function nodeFilesWith(
  cluster: E2eCluster,
  machine: string,
  canaries: readonly string[],
): Promise<readonly Find[]> {
  const container = containerName(cluster.name, machine)
  const content = `${canaries.flatMap(formsOf).join('\n')}\n`
  await cluster.engine.putFile(container, {path: PATTERNS, content, mode: 0o600})
  const script = `
    find ${FILE_SYSTEMS} -xdev -type f -size +0 -print0 2>/dev/null |
      LC_ALL=C xargs -0 -r grep -oFaH -f ${PATTERNS} 2>/dev/null | sort -u
    journalctl --no-pager -o cat | grep -oFa -f ${PATTERNS} | sort -u | sed 's/^/journal:/'
    rm ${PATTERNS}`
  const finds = (await cluster.read(machine, script)).split('\n').filter((line) => line !== '')
  const found = finds.flatMap((line) => {
    const [, path = '', match = ''] = /^(.*):([^:]+)$/.exec(line) ?? []
    return canaries.filter((canary) => formsOf(canary).includes(match)).map((canary) => ({path, canary}))
  })
  for (const canary of canaries) {
    if (!found.some((find) => find.path === PATTERNS && find.canary === canary))
      throw new Error(`the search on ${machine} does not find what is there`)
  }
  return found.filter(({path}) => path !== PATTERNS)
}

/** Keys of objects that hold the canary, in clear or but compressed. */
export async function objectsWith(objects: Objects, canary: string): Promise<readonly string[]> {
  const found: string[] = []
  for await (const {key} of objects.list('', signal)) {
    const content = await objects.read(key, 0, signal)
    if (content !== undefined && (await holds(Buffer.from(await gather(content)), canary))) found.push(key)
  }
  return found
}

/** Files below a folder of this machine that hold the canary, in clear or but compressed; `searched` counts all. */
export async function filesWith(
  folder: string,
  canary: string,
): Promise<{readonly found: readonly string[]; readonly searched: number}> {
  const entries = await readdir(folder, {recursive: true, withFileTypes: true})
  const paths = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name))
  const found: string[] = []
  for (const path of paths) if (await holds(await readFile(path), canary)) found.push(path)
  return {found, searched: paths.length}
}

const ZSTD = Buffer.from([0x28, 0xb5, 0x2f, 0xfd])

async function holds(content: Buffer, canary: string): Promise<boolean> {
  if (tells(content, canary)) return true
  return content.subarray(0, 4).equals(ZSTD) && tells(await unzstd(content), canary)
}
