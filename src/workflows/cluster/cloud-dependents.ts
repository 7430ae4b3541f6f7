import {z} from 'zod'
import {ClouderError} from '../../base/errors.ts'
import {describeRef, refOf} from '../../kubernetes/refs.ts'
import type {KubeClient, KubeObject, ObjectRef} from '../../kubernetes/types.ts'
import {waitFor} from '../../base/waiting.ts'
import type {Tools} from '../session/types.ts'

const TIMEOUT_MS = 5 * 60_000
const INTERVAL_MS = 2_000

/** Kinds for which a controller makes load balancers in the cloud. */
const BALANCED: readonly {readonly apiVersion: string; readonly kind: string}[] = [
  {apiVersion: 'v1', kind: 'Service'},
  {apiVersion: 'networking.k8s.io/v1', kind: 'Ingress'},
  {apiVersion: 'gateway.networking.k8s.io/v1', kind: 'Gateway'},
]
const SNAPSHOT = {apiVersion: 'snapshot.storage.k8s.io/v1', kind: 'VolumeSnapshot'}
const CLAIM = {apiVersion: 'v1', kind: 'PersistentVolumeClaim'}
const VOLUME = {apiVersion: 'v1', kind: 'PersistentVolume'}

const serviceSchema = z.looseObject({type: z.string().optional()})
const volumeSchema = z.looseObject({persistentVolumeReclaimPolicy: z.string().optional(), csi: z.unknown()})
const podSchema = z.looseObject({
  volumes: z
    .array(z.looseObject({persistentVolumeClaim: z.looseObject({claimName: z.string()}).optional()}))
    .optional(),
})
const ownersSchema = z.looseObject({
  ownerReferences: z
    .array(z.looseObject({apiVersion: z.string(), kind: z.string(), name: z.string()}))
    .optional(),
})

export interface ClusterMadeOptions {
  /** Whether volumes and their snapshots stay. */
  readonly keepData: boolean
  readonly timeoutMs?: number
  readonly intervalMs?: number
}

/** What controllers in the cluster made in the cloud, as the cluster itself knows it. Reads only. */
export async function findClusterMade(
  kube: Pick<KubeClient, 'list'>,
  keepData: boolean,
): Promise<readonly ObjectRef[]> {
  const kinds = keepData ? BALANCED : [...BALANCED, SNAPSHOT, CLAIM]
  const found: KubeObject[] = []
  for (const kind of kinds) found.push(...(await kube.list(kind)).filter(hasCloudPart))
  return found.map(refOf)
}

const hasCloudPart = (object: KubeObject): boolean =>
  object.kind !== 'Service' || serviceSchema.safeParse(object['spec']).data?.type === 'LoadBalancer'

/**
 * Deletes the services, ingresses and claims for which controllers hold something in the cloud, and waits until the
 * controllers have given it back: while they still run, nobody does it better. What they do not give back in time is
 * left to the sweep. Gives what was deleted.
 */
export async function removeClusterMade(
  kube: KubeClient,
  options: ClusterMadeOptions,
  tools: Pick<Tools, 'report' | 'signal' | 'now'>,
): Promise<readonly string[]> {
  const task = 'cluster-made'
  const startedMs = tools.now()
  const refs = await findClusterMade(kube, options.keepData)
  const volumes = options.keepData ? [] : await cloudVolumes(kube)
  if (refs.length === 0 && volumes.length === 0) return []
  tools.report({type: 'task-started', task, title: 'Deleting load balancers and volumes of the cluster'})
  for (const ref of refs) await kube.delete(ref)
  if (!options.keepData) await removeUsers(kube, refs)
  const durationMs = () => tools.now() - startedMs
  try {
    await waitUntilGone(kube, refs, options, tools)
    tools.report({type: 'task-done', task, durationMs: durationMs(), text: `${refs.length} deleted`})
  } catch (error) {
    tools.signal.throwIfAborted()
    if (!(error instanceof ClouderError)) throw error
    // Its machines go next, and the sweep after them finds by tag what stayed.
    tools.report({type: 'task-failed', task, durationMs: durationMs(), message: error.message})
  }
  return refs.map(describeRef)
}

/** Volumes of a cloud that go with their claims. */
async function cloudVolumes(kube: Pick<KubeClient, 'list'>): Promise<readonly KubeObject[]> {
  return (await kube.list(VOLUME)).filter((volume) => {
    const {data} = volumeSchema.safeParse(volume['spec'])
    return data?.csi !== undefined && data.persistentVolumeReclaimPolicy === 'Delete'
  })
}

/**
 * A claim stays as long as a pod on a node uses it. Pods go; one that comes again waits for the claim that goes away.
 * A StatefulSet goes first, since it would make the claim anew.
 */
async function removeUsers(kube: KubeClient, refs: readonly ObjectRef[]): Promise<void> {
  const claims = new Set(
    refs.filter(({kind}) => kind === CLAIM.kind).map(({namespace, name}) => `${namespace ?? ''}/${name}`),
  )
  if (claims.size === 0) return
  for (const pod of await kube.list({apiVersion: 'v1', kind: 'Pod'})) {
    const {volumes = []} = podSchema.parse(pod['spec'] ?? {})
    const uses = volumes.some(({persistentVolumeClaim: claim}) =>
      claims.has(`${pod.metadata.namespace ?? ''}/${claim?.claimName ?? ''}`),
    )
    if (!uses) continue
    const {ownerReferences = []} = ownersSchema.parse(pod.metadata)
    for (const {apiVersion, kind, name} of ownerReferences) {
      const namespace = pod.metadata.namespace
      if (kind === 'StatefulSet')
        await kube.delete({apiVersion, kind, name, ...(namespace === undefined ? {} : {namespace})})
    }
    await kube.delete(refOf(pod))
  }
}

async function waitUntilGone(
  kube: KubeClient,
  refs: readonly ObjectRef[],
  {keepData, timeoutMs = TIMEOUT_MS, intervalMs = INTERVAL_MS}: ClusterMadeOptions,
  {signal, report}: Pick<Tools, 'report' | 'signal'>,
): Promise<void> {
  await waitFor({
    what: 'controllers to delete what they created in the cloud',
    check: async () => {
      const open: string[] = []
      for (const ref of refs) if ((await kube.get(ref)) !== undefined) open.push(describeRef(ref))
      const volumes = keepData ? [] : await cloudVolumes(kube)
      open.push(...volumes.map((volume) => describeRef(refOf(volume))))
      const [first = ''] = open
      const more = open.length > 1 ? ` and ${open.length - 1} more` : ''
      return open.length === 0 ? {value: true, seen: 'all deleted'} : {seen: `${first}${more} still present`}
    },
    timeoutMs,
    intervalMs,
    signal,
    onSeen: (text) => report({type: 'task-progress', task: 'cluster-made', text}),
  })
}
