import type {OwnedKind} from './cloud.ts'

/** What hangs on something goes before it. */
const ORDER: readonly OwnedKind[] = [
  'load-balancer',
  'target-group',
  'machine',
  'nat-gateway',
  'endpoint',
  'address',
  'network-interface',
  'snapshot',
  'volume',
  'file-system',
  'security-group',
  'subnet',
  'route-table',
  'internet-gateway',
  'network',
  'key-pair',
  'instance-profile',
  'role',
  'policy',
  'bucket',
  'other',
  'resource-group',
]

/** Place of a kind in the order of removal. */
export const removalOrder = (kind: OwnedKind): number => ORDER.indexOf(kind)
