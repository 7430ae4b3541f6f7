import {posix} from 'node:path'
import {z} from 'zod'
import type {Obstacle} from '../../api/kinds/checkpoint.ts'
import {SLACK_BYTES, storageLimits} from '../ephemeral-storage.ts'
import type {HeldPath} from './criu-held.ts'
import type {OciSpec} from './oci-spec.ts'

const mountSchema = z.looseObject({name: z.string(), mountPath: z.string(), subPath: z.string().optional()})
const podSpecSchema = z.looseObject({
  hostNetwork: z.boolean().default(false),
  hostPID: z.boolean().default(false),
  shareProcessNamespace: z.boolean().default(false),
  initContainers: z.array(z.looseObject({})).default([]),
  volumes: z.array(z.looseObject({name: z.string()})).default([]),
  containers: z
    .array(z.looseObject({name: z.string(), volumeMounts: z.array(mountSchema).default([])}))
    .default([]),
})
type PodSpec = z.output<typeof podSpecSchema>

/** Where a mount of a container comes from, as far as it decides what a new pod finds there. */
type Source =
  /** Empty in each new pod. */
  | 'emptyDir'
  | 'ephemeral'
  | '/dev/shm'
  /** Written by the kubelet, into a folder of another name each time. */
  | 'configMap'
  | 'secret'
  | 'projected'
  | 'downwardAPI'
  /** The same wherever the pod is. */
  | 'claim'
  | 'hostPath'
  /** A file that the kubelet makes for each container, or for each pod. */
  | 'termination log'
  | 'file of the pod'
  | 'other'

/** As the API calls them. */
const SOURCES = {
  emptyDir: 'EmptyDir',
  ephemeral: 'EphemeralVolume',
  '/dev/shm': 'SharedMemory',
  configMap: 'ConfigMap',
  secret: 'Secret',
  projected: 'Projected',
  downwardAPI: 'DownwardAPI',
  claim: 'PersistentVolume',
  hostPath: 'HostPath',
  'termination log': 'TerminationLog',
  'file of the pod': 'PodFile',
  other: 'Other',
} as const satisfies Readonly<Record<Source, Obstacle['source']>>

interface Place {
  readonly source: Source
  readonly volume?: string
}

/** Volumes that keep their content when another pod mounts them. */
const LASTING = [
  ...['persistentVolumeClaim', 'nfs', 'cephfs', 'glusterfs', 'iscsi', 'fc', 'rbd', 'azureFile', 'azureDisk'],
  ...['awsElasticBlockStore', 'gcePersistentDisk', 'vsphereVolume', 'portworxVolume', 'storageos', 'quobyte'],
]
const OWN_SOURCES = [
  'emptyDir',
  'ephemeral',
  'configMap',
  'secret',
  'projected',
  'downwardAPI',
  'hostPath',
] as const
/** How the kubelet names the folder of a volume, by its plugin. */
const PLUGINS: Readonly<Record<string, Source>> = {
  'empty-dir': 'emptyDir',
  configmap: 'configMap',
  secret: 'secret',
  projected: 'projected',
  'downward-api': 'downwardAPI',
}
/** Of the folder of an emptyDir and of /dev/shm, as they are made; with the bits that a group of the volume adds. */
const NEW_FOLDERS = [0o40777, 0o41777, 0o42777, 0o43777]

/**
 * What of a dumped container a restore in a new pod will not find again, or may not find: what it holds open, has
 * mapped, stands in, listens on or watches, and where that lies. Nothing is said of what comes along, of claims, and of
 * files that have no name any more: these are restored. `pod` is the spec that the new pod is made of.
 */
export function obstaclesOf(
  container: string,
  held: readonly HeldPath[],
  spec: OciSpec,
  pod: unknown,
): readonly Obstacle[] {
  const podSpec = podSpecSchema.parse(pod)
  const places = placesOf(container, held, spec, podSpec)
  const found = held.flatMap((one): readonly Obstacle[] => {
    if (one.kind === 'address') return [addressObstacle(container, one, podSpec)]
    if (one.path === undefined)
      return [obstacle(container, one, {source: 'other'}, 'Impossible', 'CRIU only knows its inode')]
    const {mount} = one
    if (mount?.isExternal !== true || mount.place === '/' || isGuarded(mount.place, spec)) return []
    const place = places.get(mount.place) ?? {source: 'other'}
    const problem = problemOf(one, one.path.slice(mount.place.length + 1), place, podSpec)
    return problem === undefined ? [] : [obstacle(container, one, place, ...problem)]
  })
  const unique = new Map(found.map((one) => [`${one.path} ${one.message}`, one]))
  return [...unique.values(), ...processIds(container, podSpec)]
}

type Verdict = Obstacle['verdict']

/** Undefined: a restore finds it. */
function problemOf(
  held: HeldPath,
  below: string,
  {source}: Place,
  {initContainers}: PodSpec,
): [Verdict, string] | undefined {
  const isFolder = held.kind === 'folder' || held.kind === 'watch'
  switch (source) {
    case 'claim':
      return undefined
    case 'emptyDir':
    case 'ephemeral':
    case '/dev/shm': {
      const parent = held.kind === 'socket' ? posix.dirname(below) : below
      const isAsMade = held.mode === undefined || NEW_FOLDERS.includes(held.mode)
      if ((isFolder && below === '' && isAsMade) || (held.kind === 'socket' && parent === '.'))
        return undefined
      // An init container may put it there again.
      const verdict = source === 'emptyDir' && initContainers.length > 0 ? 'Unproven' : 'Impossible'
      return [
        verdict,
        'the contents of the volume are not part of the checkpoint, and a new pod starts with an empty one',
      ]
    }
    case 'configMap':
    case 'secret':
    case 'projected':
    case 'downwardAPI':
      if (below !== '')
        return ['Impossible', 'the kubelet writes it to a directory with another name for each pod']
      return isFolder ? undefined : ['Unproven', 'its contents may be different in a new pod']
    case 'termination log':
      if ((held.sizeBytes ?? 0) === 0) return undefined
      return ['Impossible', 'each new container gets an empty one']
    case 'file of the pod':
      return ['Unproven', 'each pod gets its own']
    case 'hostPath':
      return ['Unproven', 'it belongs to the node, and another node may have a different one or none']
    case 'other':
      return ['Unproven', 'clouder does not know what a new pod has there']
  }
}

/** By the place of each mount, as CRIU has it: links on the way are followed there, and are not in the spec. */
function placesOf(
  container: string,
  held: readonly HeldPath[],
  spec: OciSpec,
  pod: PodSpec,
): ReadonlyMap<string, Place> {
  const binds = spec.mounts.filter(
    ({type, options}) => type === 'bind' || options.includes('bind') || options.includes('rbind'),
  )
  const seen = [...new Set(held.flatMap(({mount}) => (mount?.isExternal === true ? [mount.place] : [])))]
  return new Map(
    seen.flatMap((place) => {
      const exact = binds.findLast(({destination}) => posix.normalize(destination) === place)
      const alike = binds.filter(
        ({destination}) =>
          posix.basename(destination) === posix.basename(place) && !seen.includes(destination),
      )
      const mount = exact ?? (alike.length === 1 ? alike[0] : undefined)
      return mount === undefined ? [] : [[place, placeOf(container, mount, pod)] as const]
    }),
  )
}

function placeOf(container: string, {destination, source}: OciSpec['mounts'][number], pod: PodSpec): Place {
  const mounts = pod.containers.find(({name}) => name === container)?.volumeMounts ?? []
  const isThere = ({mountPath}: {mountPath: string}): boolean =>
    posix.normalize(mountPath).replace(/(?<=.)\/$/, '') === posix.normalize(destination)
  const name = mounts.findLast(isThere)?.name
  const volume = pod.volumes.find((one) => one.name === name)
  if (volume !== undefined && name !== undefined) {
    const isLasting = LASTING.some((key) => volume[key] !== undefined)
    const own = OWN_SOURCES.find((key) => volume[key] !== undefined)
    return {source: isLasting ? 'claim' : (own ?? 'other'), volume: name}
  }
  if (/\/sandboxes\/[^/]+\/shm$/.test(source)) return {source: '/dev/shm'}
  if (destination === '/dev/termination-log') return {source: 'termination log'}
  if (/\/(etc-hosts|hostname|resolv\.conf)$/.test(source)) return {source: 'file of the pod'}
  // The token of the service account, whose volume the spec of a new pod does not name yet.
  const [, plugin = '', own = ''] = /\/volumes\/kubernetes\.io~([^/]+)\/([^/]+)$/.exec(source) ?? []
  const known = PLUGINS[plugin]
  return known === undefined ? {source: 'other'} : {source: known, volume: own}
}

/** Hidden, or read-only: made anew from the spec. */
const isGuarded = (place: string, {linux}: OciSpec): boolean =>
  linux.maskedPaths.includes(place) ||
  linux.readonlyPaths.includes(place) ||
  place.startsWith('/sys/fs/cgroup')

/** Each pod has an address of its own. What is bound to one of IPv6 is bound again wherever it is, and may be deaf there. */
function addressObstacle(container: string, {path = '', holder}: HeldPath, {hostNetwork}: PodSpec): Obstacle {
  const process = holder === undefined ? 'a process' : `process ${holder.pid} (${holder.command})`
  const fix = 'bind to all addresses (0.0.0.0 or ::), or close the socket in a preCheckpoint hook'
  return {
    verdict: hostNetwork || path.startsWith('[') ? 'Unproven' : 'Impossible',
    container,
    source: 'Address',
    path,
    ...(holder === undefined ? {} : {pid: holder.pid}),
    message: `${path} of container ${container}: ${process} has a socket bound to this address, but a restored pod has another address; ${fix}`,
  }
}

const ACTIONS: Readonly<Record<HeldPath['kind'], string>> = {
  file: 'has it open',
  folder: 'has it open',
  fifo: 'has it open',
  socket: 'listens on it',
  watch: 'watches it',
  address: 'is bound to it',
}
const FIXES: Partial<Readonly<Record<Source, string>>> = {
  emptyDir:
    'use a PersistentVolumeClaim or the file system of the container, or close it in a preCheckpoint hook',
  ephemeral: 'use a PersistentVolumeClaim that outlives the pod, or close it in a preCheckpoint hook',
  '/dev/shm': 'unlink it while it is open, or close it in a preCheckpoint hook',
  hostPath: 'use a PersistentVolumeClaim, or close it in a preCheckpoint hook',
}

function obstacle(
  container: string,
  {kind, path, holder}: HeldPath,
  {source, volume}: Place,
  verdict: Verdict,
  why: string,
): Obstacle {
  const fix = FIXES[source] ?? 'close it after reading, or in a preCheckpoint hook'
  const process = holder === undefined ? 'a process' : `process ${holder.pid} (${holder.command})`
  const how = kind === 'socket' || kind === 'watch' ? ACTIONS[kind] : (holder?.how ?? ACTIONS[kind])
  const on = volume === undefined ? (source === 'other' ? 'a mount' : source) : `${source} volume ${volume}`
  const what = path ?? 'a file'
  return {
    verdict,
    container,
    source: SOURCES[source],
    ...(volume === undefined ? {} : {volume}),
    ...(path === undefined ? {} : {path}),
    ...(holder === undefined ? {} : {pid: holder.pid}),
    message: `${what} on ${on} of container ${container}: ${process} ${how}, but ${why}; ${fix}`,
  }
}

/** Holes are in the archive as zeros, at most so many, and take no room where it is restored. */
export const MOST_HOLE_BYTES = 256 * 1024 * 1024

/**
 * Whether what a container has changed of its files may be more than its pod may keep: the restore would be refused, or
 * the pod evicted. `filesBytes`: as they are in the archive, holes included.
 */
export function storageObstacles(container: string, filesBytes: number, pod: unknown): readonly Obstacle[] {
  const limit = storageLimits(pod).get(container)
  if (limit === undefined || filesBytes <= limit + SLACK_BYTES) return []
  return [
    {
      verdict: filesBytes > limit + SLACK_BYTES + MOST_HOLE_BYTES ? 'Impossible' : 'Unproven',
      container,
      source: 'EphemeralStorage',
      message: `container ${container} has ${filesBytes} bytes of changed files, but its ephemeral-storage limit is ${limit} bytes; raise the limit, or keep the files on a volume`,
    },
  ]
}

function processIds(container: string, {hostPID, shareProcessNamespace}: PodSpec): readonly Obstacle[] {
  if (!hostPID && !shareProcessNamespace) return []
  const which = hostPID ? 'hostPID' : 'shareProcessNamespace'
  return [
    {
      verdict: 'Unproven',
      container,
      source: 'ProcessIDs',
      message: `container ${container} does not have its own process namespace (${which}), so its process ids may be in use where it is restored; remove ${which}`,
    },
  ]
}
