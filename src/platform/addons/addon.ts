import type {z} from 'zod'
import type {KubeClient, KubeObject, KubeReader} from '../../kubernetes/types.ts'
import type {ClusterSpec} from '../../spec/cluster-spec.ts'
import type {NotReady} from '../release/types.ts'

/** Each profile holds the ones before it. */
export type AddonProfile = 'minimal' | 'standard' | 'full'

/** What addons offer each other: an addon needs it whoever provides it. */
export type Capability =
  | 'pod-network'
  | 'network-policies'
  | 'default-storage-class'
  | 'shared-volumes'
  | 'volume-snapshots'
  | 'load-balancer'
  | 'gateway'
  | 'certificates'
  | 'metrics'
  | 'resource-metrics'
  | 'messaging'
  | 'postgresql'
  | 'object-store'

/** What the objects of an addon depend on besides its parameters: read before, never asked of a cluster by an addon. */
export interface ClusterFacts {
  readonly spec: ClusterSpec
  /** The API server as nodes reach it, `host:port`. */
  readonly apiAddress: string
  /** What the stack of the cluster says of its cloud: the output `addons`. Empty elsewhere. */
  readonly cloud: Readonly<Record<string, string>>
  /** An image of the bundle. Throws PlatformError IMAGE_NOT_IN_BUNDLE. */
  readonly image: (name: string) => {readonly reference: string; readonly digest: string}
  /** Objects that the bundle carries as their authors published them, such as CRDs. Throws PlatformError IMAGE_NOT_IN_BUNDLE. */
  readonly manifests: (name: string) => readonly KubeObject[]
}

export interface SmokeTools {
  readonly kube: KubeClient
  readonly facts: ClusterFacts
  /** A namespace of this smoke test alone, deleted after it. */
  readonly namespace: string
  readonly progress: (text: string) => void
  readonly signal: AbortSignal
}

/** A test that an addon does its work. */
export interface SmokeTest {
  /** What is shown when it has passed: `a policy blocks one client and admits another`. */
  readonly proves: string
  /** Throws PlatformError or KubernetesError naming the object and what it said. */
  readonly run: (tools: SmokeTools) => Promise<void>
}

export interface AddonDefinition<Parameters> {
  /** As users write it, and as the label `clouder.dev/addon` holds it. */
  readonly id: string
  readonly title: string
  /** Of what is installed. */
  readonly version: string
  /** One line: what it gives a cluster. */
  readonly description: string
  /** The smallest profile that holds it on these providers; absent: in no profile. */
  readonly profile?: AddonProfile
  /**
   * `bootstrap`: applied before workers join, and not waited for until the end; without it nodes are not Ready, or pods do
   * not start. `platform`: applied when all nodes are there.
   */
  readonly stage: 'bootstrap' | 'platform'
  /** Ids of addons, and capabilities, that must be there before it. */
  readonly needs: readonly string[]
  readonly provides: readonly Capability[]
  /** Names of images and manifests in the bundle. */
  readonly images: readonly string[]
  readonly manifests?: readonly string[]
  /** Defaults come from the spec. */
  readonly parameters: (spec: ClusterSpec) => z.ZodType<Parameters>
  /** What its programs do in the cloud, in its words: actions that the stack grants to control planes. */
  readonly cloudActions?: (spec: ClusterSpec) => readonly string[]
  /** Why it cannot be installed on such a cluster, and what would help; undefined: it can. */
  readonly unavailable?: (spec: ClusterSpec) => string | undefined
  /** Pure. Every object bears the label `clouder.dev/addon: <id>`; the engine adds it where it is missing. */
  readonly objects: (parameters: Parameters, facts: ClusterFacts) => readonly KubeObject[]
  /** Created where absent, then left alone. */
  readonly createdOnce?: (parameters: Parameters, facts: ClusterFacts) => readonly KubeObject[]
  /** Whether the conditions of an object say anything of the addon. Default: of all objects. */
  readonly isAwaited?: (object: KubeObject) => boolean
  /** What is not ready besides what the standard conditions of its objects tell. */
  readonly ready?: (
    kube: KubeReader,
    parameters: Parameters,
    facts: ClusterFacts,
  ) => Promise<readonly NotReady[]>
  /** What would break without it, in words for a refusal: `PersistentVolumeClaim shop/data uses StorageClass local-path`. */
  readonly usedBy?: (kube: KubeReader) => Promise<readonly string[]>
  readonly smoke?: SmokeTest
}

/** An addon of the catalogue, its parameters not typed any more: they are checked against its schema. */
export type Addon = Omit<AddonDefinition<unknown>, 'parameters' | 'objects' | 'createdOnce' | 'ready'> & {
  /** Throws PlatformError ADDON_PARAMETERS_INVALID. */
  readonly schema: (spec: ClusterSpec) => z.ZodType
  readonly objects: (parameters: unknown, facts: ClusterFacts) => readonly KubeObject[]
  readonly createdOnce: (parameters: unknown, facts: ClusterFacts) => readonly KubeObject[]
  readonly ready: (kube: KubeReader, parameters: unknown, facts: ClusterFacts) => Promise<readonly NotReady[]>
}

/** An entry of the catalogue. What is given as parameters later is parsed by the schema, so that it has the type. */
export function defineAddon<Parameters>(definition: AddonDefinition<Parameters>): Addon {
  const {parameters: schema, objects, createdOnce, ready, ...rest} = definition
  const typed = (given: unknown, {spec}: ClusterFacts): Parameters => schema(spec).parse(given)
  return {
    ...rest,
    schema,
    objects: (given, facts) => objects(typed(given, facts), facts),
    createdOnce: (given, facts) => createdOnce?.(typed(given, facts), facts) ?? [],
    ready: async (kube, given, facts) => (await ready?.(kube, typed(given, facts), facts)) ?? [],
  }
}
