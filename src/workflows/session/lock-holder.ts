import {createHash} from 'node:crypto'
import {hostname} from 'node:os'
import type {ClusterPaths} from '../../store/types.ts'

/**
 * The name of a run on locks in a cluster. While it holds the lock of the cluster on this machine, every other run of that
 * cluster from here is dead, and what it left locked in the cluster need not expire first.
 */
export function lockHolder(
  {record}: Pick<ClusterPaths, 'record'>,
  run: string,
): {readonly holder: string; readonly isStaleHolder: (holder: string) => boolean} {
  const place = createHash('sha256').update(record).digest('hex').slice(0, 8)
  const prefix = `${hostname()} (${place}), `
  return {holder: `${prefix}${run}`, isStaleHolder: (other) => other.startsWith(prefix)}
}
