import {readdir, rm} from 'node:fs/promises'
import {join} from 'node:path'
import {unlessMissing} from '../../base/system-errors.ts'
import type {Log} from '../../operator/log.ts'

/** Where containerd has CRIU write. A dump that was broken off leaves there what it had of the memory, in clear. */
export interface DumpFolder {
  /** Nothing is removed while `dump` is at work. */
  during<T>(dump: () => Promise<T>): Promise<T>
  /** Removes what dumps have left that were broken off: at once, or when none is at work any more. */
  clean(): Promise<void>
}

/** https://github.com/containerd/containerd/blob/main/plugins/services/tasks/local.go: the name it gives. */
const DUMP = /^ctrd-checkpoint\d+$/

/** The folder on the disk; one that is not there has nothing in it. */
export function dumpFolder(folder: string, log: Log): DumpFolder {
  let underWay = 0
  let isWanted = false
  const remove = async (): Promise<void> => {
    isWanted = false
    const names = (await readdir(folder).catch(unlessMissing)) ?? []
    for (const name of names.filter((entry) => DUMP.test(entry))) {
      log('info', 'deleting the files of an interrupted dump', {name})
      await rm(join(folder, name), {recursive: true, force: true})
    }
  }
  return {
    async during(dump) {
      underWay += 1
      try {
        return await dump()
      } finally {
        underWay -= 1
        if (isWanted && underWay === 0) await remove()
      }
    },
    async clean() {
      isWanted = true
      if (underWay === 0) await remove()
    },
  }
}
