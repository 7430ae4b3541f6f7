import type {Duplex} from 'node:stream'
import type {PodNamespaces} from '../../checkpoint/archive/privileges.ts'
import type {UsedResources} from '../../checkpoint/archive/rlimits.ts'
import type {PackedVolume} from '../../checkpoint/archive/volumes.ts'
import type {CheckpointSummary, Obstacle} from '../../api/resources.ts'
import type {Ciphers} from '../../checkpoint/sealed/pieces.ts'
import type {NodeFeatures, Privileges} from '../../api/sealed-checkpoint.ts'
import type {KubeClient} from '../../kubernetes/types.ts'
import type {Archives} from './archives.ts'
import type {Cgroups} from './cgroups.ts'
import type {ContainerCheckpoint} from './container-checkpoint.ts'
import type {ContainerExec} from './container-exec.ts'
import type {DirectDump} from './direct-dump.ts'
import type {DumpWay} from './dump-place.ts'
import type {DumpFolder} from './dump-folder.ts'
import type {FormerArchives} from './former-archives.ts'
import type {DumpWatcher} from './freeze.ts'
import type {NodeLimits} from './limits.ts'
import type {IncomingPages} from './lazy/incoming-pages.ts'
import type {PageServers} from './lazy/page-servers.ts'
import type {Log} from '../../operator/log.ts'
import type {MemoryPlace} from './memory-place.ts'
import type {Metrics} from './metrics.ts'
import type {PodLocks} from './pod-locks.ts'
import type {Runc} from './runc.ts'
import type {SealsAhead} from './seal-ahead.ts'
import type {Shims} from './shims.ts'
import type {Stores} from './stores.ts'
import type {WantedPages} from './transfer/wanted-dump.ts'
import type {DumpPulls, IncomingDumps} from './transfer/incoming.ts'
import type {OutgoingDumps} from './transfer/outgoing.ts'
import type {DumpMeter} from './upper-layer.ts'
import type {PodVolumes} from './volumes.ts'

/** What an archive tells of the container that it was made of. */
export interface ArchiveFacts {
  readonly privileges: Privileges
  readonly imageDigest: string
  /** Paths inside the container that it had deleted. */
  readonly deleted: readonly string[]
  readonly used?: UsedResources
  /** What a restore in a new pod of that spec will not find, or may not find. */
  readonly obstacles: readonly Obstacle[]
  /** Volumes of the pod whose contents it has: what is open there is no obstacle, of whichever container. */
  readonly volumes?: readonly PackedVolume[]
  readonly summary: CheckpointSummary['containers'][number]
}

/** Takes an OCI layout, as a tar, into the images of the node's runtime, as `<repository>@<digest>`. */
export type ImageImport = (
  image: {readonly repository: string; readonly digest: string},
  layout: AsyncIterable<Uint8Array>,
  signal: AbortSignal,
) => Promise<void>

/** What the node agent works with: everything it touches is behind one of these. */
export interface AgentTools {
  readonly node: string
  readonly kube: KubeClient
  /** By the runtime's archive, with `watchDump`: where `directDump` is not possible. */
  readonly checkpoint: ContainerCheckpoint
  readonly directDump: DirectDump
  /** For what the runtime's own tasks have no words for. */
  readonly runc: Runc
  /** Which of both this node can do. */
  readonly dumpWay: () => Promise<DumpWay>
  /** Where dumps are written when they fit. */
  readonly memory: MemoryPlace
  readonly cgroups: Cgroups
  readonly shims: Shims
  readonly podLocks: PodLocks
  /** Runs hooks. */
  readonly exec: ContainerExec
  readonly watchDump: DumpWatcher
  /** What a dump will take, before anything is frozen. */
  readonly measure: DumpMeter
  readonly volumes: PodVolumes
  readonly dumps: DumpFolder
  readonly archives: Archives
  readonly ahead: SealsAhead
  readonly formerArchives: FormerArchives
  /** Dumps of this node that others may be sent. */
  readonly outgoing: OutgoingDumps
  /** Dumps that others have sent to this node. */
  readonly incoming: IncomingDumps
  readonly pulls: DumpPulls
  /** For pods whose memory stays here until they run on another node. */
  readonly pageServers: PageServers
  /** For pods that run here before their memory does. */
  readonly incomingPages: IncomingPages
  /** Connects to the page server of a pod of another node, which proves to be that. Throws CheckpointError TRANSFER_FAILED. */
  readonly openPages: (
    wanted: WantedPages,
    headersOf: (channel: Buffer) => Readonly<Record<string, string>>,
    signal: AbortSignal,
  ) => Promise<Duplex>
  readonly stores: Stores
  readonly ciphers: Ciphers
  readonly nodeFeatures: () => Promise<NodeFeatures>
  readonly inspect: (
    archive: AsyncIterable<Uint8Array>,
    pod: PodNamespaces,
    signal: AbortSignal,
  ) => Promise<ArchiveFacts>
  /** What CRIU said of a failed dump, from the log that the runtime's answer names; undefined: nothing that helps. */
  readonly explain: (answer: string) => Promise<string | undefined>
  readonly importImage: ImageImport
  /** Absent is fine. */
  readonly removeImage: (reference: string, signal: AbortSignal) => Promise<void>
  /** Names of all images of the node's runtime. */
  readonly listImages: (signal: AbortSignal) => Promise<readonly string[]>
  /** Names under which an image is known on this node that mean the same one: digests of its manifest and its config. */
  readonly imageDigests: (image: string) => Promise<readonly string[]>
  readonly limits: NodeLimits
  /** Free for what is unpacked before a restore. */
  readonly freeBytes: () => Promise<number>
  readonly metrics: Pick<Metrics, 'checkpointed' | 'dumped'>
  readonly now: () => number
  readonly log: Log
  readonly signal: AbortSignal
}
