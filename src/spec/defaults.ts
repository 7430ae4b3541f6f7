import type {z} from 'zod'
import type {ClusterSpec, clusterDocumentSchema} from './cluster-spec.ts'

/** Workers of a cluster whose machines are made and of which nobody said how many. */
const DEFAULT_WORKERS = 2

/** Fills in what depends on other values, so that every count is there; what is there already stays. */
export function resolveDefaults(document: z.output<typeof clusterDocumentSchema>): ClusterSpec {
  const {spec, metadata} = document
  const isBrought = spec.provider.kind === 'byon'
  const emptyPool = {name: 'worker', count: DEFAULT_WORKERS, spot: false, labels: {}, taints: [], hosts: []}
  const pools = spec.workers.length === 0 && !isBrought ? [emptyPool] : spec.workers
  return {
    name: metadata.name,
    ...spec,
    kubernetes: {...spec.kubernetes, version: spec.kubernetes.version.replace(/^v(?=\d)/, '')},
    controlPlane: {
      ...spec.controlPlane,
      count: spec.controlPlane.count ?? (isBrought ? Math.max(1, spec.controlPlane.hosts.length) : 1),
    },
    workers: pools.map((pool) => ({...pool, count: pool.count ?? (isBrought ? pool.hosts.length : 1)})),
  }
}
