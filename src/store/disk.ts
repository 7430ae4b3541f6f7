import {readdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {StateError} from '../base/errors.ts'
import {readIfThere, removeIfEmpty, unwritable, writeAtomically} from '../base/files.ts'
import {systemCode} from '../base/system-errors.ts'
import {changeHomeConfig, readHomeConfig} from './home-config.ts'
import {acquireLock, isLockFile} from './lock.ts'
import {checkClusterName, isClusterName} from './names.ts'
import {parseRecord, printRecord} from './record.ts'
import type {ClusterPaths, ClusterRecord, ClusterStore} from './types.ts'

export interface DiskStoreOptions {
  /** `~/.clouder`, or what CLOUDER_HOME says. */
  readonly home: string
  /** Milliseconds since the epoch. */
  readonly now: () => number
  /** Of this process; the lock tells them to whoever meets it. */
  readonly pid: number
  readonly hostname: string
  /** Which process has a pid now, undefined when none; default: from /proc. */
  readonly identify?: (pid: number) => Promise<string | undefined>
  /** How long a lock lives without being renewed. Default 5 min. */
  readonly lockLifeMs?: number
}

/** Where everything of a cluster lies on this machine: `<home>/kubeadm/<name>/`. Touches nothing. */
export function clusterPaths(home: string, name: string): ClusterPaths {
  checkClusterName(name)
  const dir = join(home, 'kubeadm', name)
  return {
    dir,
    record: join(dir, 'record.json'),
    knownHosts: join(dir, 'known_hosts'),
    kubeconfig: join(dir, 'kubeconfig'),
    sshKey: join(dir, 'id_ed25519'),
    journal: join(dir, 'journal.jsonl'),
    logs: join(dir, 'logs'),
  }
}

/** The ClusterStore of this machine: one folder (0700) per cluster, files 0600, each replaced as a whole. */
export function diskStore(options: DiskStoreOptions): ClusterStore {
  const {home, now} = options
  const paths = (name: string): ClusterPaths => clusterPaths(home, name)
  const changes = new Map<string, Promise<unknown>>()

  const load = async (name: string): Promise<ClusterRecord | undefined> => {
    const {record} = paths(name)
    const text = await readIfThere(record)
    return text === undefined ? undefined : parseRecord(text, name, record)
  }

  const change = async (
    name: string,
    next: (record: ClusterRecord | undefined) => ClusterRecord,
  ): Promise<ClusterRecord> => {
    const {record: path} = paths(name)
    const record = {...next(await load(name)), updatedAt: new Date(now()).toISOString()}
    const text = printRecord(record)
    const checked = parseRecord(text, name, path)
    await writeAtomically(path, text)
    return checked
  }

  return {
    load,
    paths,
    list: async () => await recordedNames(home),
    remove: async (name) => await removeFolder(paths(name).dir),
    // One change after the other, so that none reads what another is about to replace.
    update: async (name, next) => {
      const mine = (changes.get(name) ?? Promise.resolve()).then(async () => await change(name, next))
      changes.set(
        name,
        mine.catch(() => undefined),
      )
      return await mine
    },
    lock: async (name, command) =>
      await acquireLock({...options, dir: paths(name).dir, what: `cluster ${name}`, command}),
    defaultCluster: async () => (await readHomeConfig(home)).defaultCluster,
    setDefaultCluster: async (name) => {
      if (name !== undefined) checkClusterName(name)
      await changeHomeConfig(options, ({defaultCluster: _, ...others}) =>
        name === undefined ? others : {...others, defaultCluster: name},
      )
    },
  }
}

async function recordedNames(home: string): Promise<readonly string[]> {
  const root = join(home, 'kubeadm')
  const names: string[] = []
  for (const name of (await entriesOf(root)).filter(isClusterName)) {
    if ((await entriesOf(join(root, name))).includes('record.json')) names.push(name)
  }
  return names.sort()
}

async function entriesOf(dir: string): Promise<readonly string[]> {
  try {
    return await readdir(dir)
  } catch (error) {
    const code = systemCode(error)
    if (code === 'ENOENT' || code === 'ENOTDIR') return []
    throw new StateError('RECORD_INVALID', `${dir} cannot be read: ${code ?? String(error)}`, {cause: error})
  }
}

/** The record goes last, so that a removal that was killed can be asked for again; the lock's file is its holder's. */
async function removeFolder(dir: string): Promise<void> {
  const entries = await entriesOf(dir)
  const others = entries.filter((entry) => entry !== 'record.json' && !isLockFile(entry))
  try {
    for (const entry of [...others, 'record.json']) {
      await rm(join(dir, entry), {recursive: true, force: true})
    }
    await removeIfEmpty(dir)
  } catch (error) {
    throw unwritable(dir, error)
  }
}
