import {StateError} from '../../src/base/errors.ts'
import {clusterPaths} from '../../src/store/disk.ts'
import {checkClusterName} from '../../src/store/names.ts'
import {parseRecord, printRecord} from '../../src/store/record.ts'
import type {ClusterStore} from '../../src/store/types.ts'

export interface MemoryStoreOptions {
  readonly home?: string
  readonly now?: () => number
}

/** A ClusterStore without a disk; passes the same contract as the one with. Paths are told, nothing lies there. */
export function memoryStore({
  home = '/home/tester/.clouder',
  now = Date.now,
}: MemoryStoreOptions = {}): ClusterStore {
  const records = new Map<string, string>()
  const locks = new Map<string, string>()
  let defaultName: string | undefined
  const paths: ClusterStore['paths'] = (name) => clusterPaths(home, name)
  const load: ClusterStore['load'] = (name) => {
    const path = paths(name).record
    const text = records.get(name)
    return Promise.resolve(text === undefined ? undefined : parseRecord(text, name, path))
  }
  return {
    paths,
    load: async (name) => await load(name),
    list: () => Promise.resolve([...records.keys()].sort()),
    remove: async (name) => {
      checkClusterName(name)
      await Promise.resolve(records.delete(name))
    },
    update: async (name, change) => {
      checkClusterName(name)
      const path = paths(name).record
      const text = records.get(name)
      const before = text === undefined ? undefined : parseRecord(text, name, path)
      const record = {...change(before), updatedAt: new Date(now()).toISOString()}
      const printed = printRecord(record)
      const checked = parseRecord(printed, name, path)
      records.set(name, printed)
      return await Promise.resolve(checked)
    },
    lock: async (name, command) => {
      checkClusterName(name)
      const holder = locks.get(name)
      if (holder !== undefined) {
        throw new StateError('LOCKED', `cluster ${name} is in use by \`clouder ${holder}\``)
      }
      locks.set(name, command)
      return await Promise.resolve({
        [Symbol.asyncDispose]: async () => {
          await Promise.resolve(locks.delete(name))
        },
      })
    },
    defaultCluster: () => Promise.resolve(defaultName),
    setDefaultCluster: async (name) => {
      if (name !== undefined) checkClusterName(name)
      defaultName = await Promise.resolve(name)
    },
  }
}
