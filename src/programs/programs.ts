import type {Program} from '../operator/program.ts'

/** The programs that run in the cluster, by folder and first argument: each loads only what it needs. */
export const PROGRAMS: ReadonlyMap<string, () => Promise<{readonly run: Program}>> = new Map([
  ['controller', () => import('./controller/main.ts')],
  ['node-agent', () => import('./node-agent/main.ts')],
])
