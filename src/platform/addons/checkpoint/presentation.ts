import type {StoreKind} from '../../../api/checkpoint-store.ts'
import type {ResourceKind} from '../../../api/resources.ts'

interface Column {
  readonly name: string
  readonly jsonPath: string
  /** Default: `string`. */
  readonly type?: 'integer' | 'date'
  /** 1: shown by `-o wide` only. */
  readonly priority?: 1
}

const column = (name: string, jsonPath: string, type?: 'integer' | 'date'): Column => ({
  name,
  jsonPath,
  ...(type === undefined ? {} : {type}),
})
const wide = (name: string, jsonPath: string, type?: 'integer' | 'date'): Column => ({
  ...column(name, jsonPath, type),
  priority: 1,
})

const age = column('Age', '.metadata.creationTimestamp', 'date')
const phase = column('Phase', '.status.phase')
const reason = wide('Reason', '.status.reason')
const message = wide('Message', '.status.message')
const ready = column('Ready', '.status.conditions[?(@.type=="Ready")].status')
const whyNotReady = [
  wide('Reason', '.status.conditions[?(@.type=="Ready")].reason'),
  wide('Message', '.status.conditions[?(@.type=="Ready")].message'),
]

/** What a checkpoint of before would be looked for by. How the place is reached (region, insecure) may be corrected. */
const LOCATION = {
  node: [],
  directory: ['path'],
  persistentVolumeClaim: ['claimName'],
  registry: ['repository'],
  s3: ['bucket', 'prefix', 'endpoint'],
  azureBlob: ['endpoint', 'container', 'prefix'],
} as const satisfies Readonly<Record<StoreKind, readonly string[]>>

// Not by optional values: the server does not know how long those may be, and takes the rule for one that is too dear.
const sameLocation = Object.entries(LOCATION).map(([place, keys]) => {
  const [now, before] = [`self.spec.${place}`, `oldSelf.spec.${place}`]
  const same = keys.map(
    (key) =>
      `has(${now}.${key}) == has(${before}.${key}) && (!has(${now}.${key}) || ${now}.${key} == ${before}.${key})`,
  )
  return `has(${now}) == has(${before})${same.length === 0 ? '' : ` && (!has(${now}) || (${same.join(' && ')}))`}`
})

/** What `kubectl get` shows, by which short name, and which rules go beyond the shape. */
export const PRESENTATION: Readonly<
  Record<
    ResourceKind,
    {
      readonly shortNames: readonly string[]
      readonly columns: readonly Column[]
      /** Where its subresource `scale` is read. */
      readonly scale?: {readonly specReplicasPath: string; readonly statusReplicasPath: string}
      /** About the spec. */
      readonly rules?: readonly (readonly [string, string])[]
      /** About the whole object. */
      readonly objectRules?: readonly (readonly [string, string])[]
    }
  >
> = {
  CheckpointStore: {
    shortNames: ['ckptstore'],
    columns: [ready, age, ...whyNotReady],
    rules: [
      [
        '[has(self.node), has(self.directory), has(self.persistentVolumeClaim), has(self.registry), has(self.s3), has(self.azureBlob)].filter(isSet, isSet).size() == 1',
        'exactly one of node, directory, persistentVolumeClaim, registry, s3 and azureBlob must be set',
      ],
    ],
    objectRules: [
      [
        `!has(oldSelf.status) || !has(oldSelf.status.inUse) || !oldSelf.status.inUse || (${sameLocation.join(' && ')})`,
        'the location of a store that holds checkpoints cannot be changed: create another CheckpointStore, or delete the checkpoints of this one first',
      ],
    ],
  },
  Checkpoint: {
    shortNames: ['ckpt'],
    columns: [
      phase,
      column('Pod', '.spec.podRef.name'),
      column('Node', '.status.nodeName'),
      column('Size', '.status.sizeBytes', 'integer'),
      column('Store', '.spec.storeName'),
      age,
      wide('Stored', '.status.storedBytes', 'integer'),
      wide('Pod-Policy', '.spec.podPolicy'),
      wide('Location', '.status.location'),
      reason,
      message,
    ],
    rules: [
      ['has(self.podRef) != has(self.import)', 'exactly one of podRef and import must be set'],
      ['self == oldSelf', 'spec is immutable'],
    ],
  },
  Restore: {
    shortNames: ['ckptrestore'],
    columns: [
      phase,
      column('Checkpoint', '.spec.checkpointName'),
      column('Node', '.status.nodeName'),
      column('Backend', '.status.backend'),
      age,
      wide('Pod', '.spec.podName'),
      reason,
      message,
    ],
    rules: [['self == oldSelf', 'spec is immutable']],
  },
  Migration: {
    shortNames: ['ckptmove'],
    columns: [
      phase,
      column('Pod', '.spec.podName'),
      column('From', '.status.sourceNodeName'),
      column('To', '.status.targetNodeName'),
      column('Downtime-ms', '.status.downtimeMilliseconds', 'integer'),
      age,
      wide('Way', '.status.way'),
      wide('Transferred', '.status.transferredBytes', 'integer'),
      wide('Checkpoint', '.status.checkpointName'),
      wide('New-Pod', '.status.newPodName'),
      reason,
      message,
    ],
    rules: [['self == oldSelf', 'spec is immutable']],
    // A PodDisruptionBudget with a percentage allows no disruption while it finds no scale of the owner of a pod.
    scale: {specReplicasPath: '.spec.replicas', statusReplicasPath: '.status.replicas'},
  },
  CheckpointPolicy: {
    shortNames: ['ckptpolicy'],
    columns: [
      column('Schedule', '.spec.schedule'),
      column('Pods', '.status.pods', 'integer'),
      column('Checkpoints', '.status.checkpoints', 'integer'),
      // As text: what is still to come has no age.
      column('Next', '.status.nextScheduleTime'),
      age,
      wide('Last', '.status.lastScheduleTime', 'date'),
      wide('Store', '.spec.storeName'),
      wide('Suspend', '.spec.suspend'),
    ],
  },
  Runtime: {
    shortNames: ['crt'],
    columns: [
      column('State', '.spec.state'),
      phase,
      column('Node', '.status.nodeName'),
      column('Image', '.spec.image'),
      age,
      wide('Checkpoint', '.status.checkpointName'),
      reason,
      message,
    ],
  },
  ContainerHost: {
    shortNames: ['chost'],
    columns: [
      column('Slots', '.spec.slots', 'integer'),
      ready,
      column('Heartbeat', '.status.lastHeartbeatTime', 'date'),
      age,
      wide('Version', '.status.version'),
      ...whyNotReady,
    ],
  },
}
