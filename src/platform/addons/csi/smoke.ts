import {z} from 'zod'
import {waitFor} from '../../../base/waiting.ts'
import {KubernetesError} from '../../../kubernetes/errors.ts'
import type {ObjectRef} from '../../../kubernetes/types.ts'
import type {SmokeTest, SmokeTools} from '../addon.ts'
import {claim, deleteClaim, proveClaim} from '../claims.ts'
import {runPod} from '../smoke-pods.ts'

const NAME = 'smoke'
const RESTORED = 'smoke-restored'
const SNAPSHOT = {apiVersion: 'snapshot.storage.k8s.io/v1', kind: 'VolumeSnapshot'}
/** A cloud takes minutes for the first snapshot of a volume. */
const LIMIT_MS = 600_000

export interface VolumeSmoke {
  readonly storageClassName: string
  readonly accessMode: 'ReadWriteOnce' | 'ReadWriteMany'
  readonly size: string
  /** What the claim is expanded to; absent: its size means nothing. */
  readonly larger?: string
  /** Absent: the driver takes no snapshots. */
  readonly snapshotClass?: string
}

const claimSchema = z.looseObject({capacity: z.looseObject({storage: z.string()}).optional()})
const snapshotSchema = z.looseObject({
  readyToUse: z.boolean().optional(),
  error: z.looseObject({message: z.string().optional()}).nullish(),
})

/** Data survives its pod; the volume grows; a snapshot holds the data; everything is deleted with its claim. */
export function smokeVolumes(wanted: VolumeSmoke): SmokeTest {
  const {larger, snapshotClass} = wanted
  const parts = [
    'what was written is read back by another pod',
    ...(larger === undefined ? [] : ['the volume was expanded']),
    ...(snapshotClass === undefined ? [] : ['its snapshot was restored']),
  ]
  return {proves: parts.join(', '), run: (tools) => proveVolumes(wanted, tools)}
}

async function proveVolumes(wanted: VolumeSmoke, tools: SmokeTools): Promise<void> {
  const {kube, namespace, signal, progress} = tools
  const {larger, snapshotClass} = wanted
  await kube.apply([claim(namespace, {...wanted, name: NAME})], signal)
  await proveClaim(tools, NAME)
  if (larger !== undefined) await expand(tools, larger)
  if (snapshotClass !== undefined) await restoreSnapshot(tools, wanted, snapshotClass)
  progress('deleting the claim')
  await deleteClaim(tools, NAME)
}

async function expand(tools: SmokeTools, larger: string): Promise<void> {
  const {kube, namespace} = tools
  const ref = {apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name: NAME}
  tools.progress(`expanding claim ${NAME} to ${larger}`)
  await kube.patch(ref, {spec: {resources: {requests: {storage: larger}}}})
  // The file system grows when the volume is mounted.
  await proveClaim(tools, NAME)
  await untilStatus(tools, ref, `${larger} large`, (status) => {
    const {capacity} = claimSchema.parse(status)
    return {isDone: capacity?.storage === larger, seen: `it has ${capacity?.storage ?? 'no size'}`}
  })
}

async function restoreSnapshot(tools: SmokeTools, wanted: VolumeSmoke, snapshotClass: string): Promise<void> {
  const {kube, namespace, signal, progress, facts} = tools
  const snapshot = {...SNAPSHOT, namespace, name: NAME}
  progress(`taking a snapshot of claim ${NAME}`)
  await kube.apply(
    [
      {
        ...SNAPSHOT,
        metadata: {name: NAME, namespace},
        spec: {volumeSnapshotClassName: snapshotClass, source: {persistentVolumeClaimName: NAME}},
      },
    ],
    signal,
  )
  await untilStatus(tools, snapshot, 'ready to use', (status) => {
    const {readyToUse, error} = snapshotSchema.parse(status)
    return {isDone: readyToUse === true, seen: error?.message ?? 'it is being taken'}
  })
  progress('restoring the snapshot')
  const size = wanted.larger ?? wanted.size
  const {spec, ...restored} = claim(namespace, {...wanted, name: RESTORED, size})
  const dataSource = {apiGroup: 'snapshot.storage.k8s.io', kind: SNAPSHOT.kind, name: NAME}
  await kube.apply([{...restored, spec: {...Object(spec), dataSource} as object}], signal)
  const found = await runPod(tools, {
    name: 'restored',
    image: facts.image('shell'),
    command: ['/bin/sh', '-c', 'cat /data/text'],
    volumes: [
      {
        volume: {name: 'data', persistentVolumeClaim: {claimName: RESTORED}},
        mount: {name: 'data', mountPath: '/data'},
      },
    ],
  })
  if (!found.startsWith(`clouder ${NAME} `))
    throw new KubernetesError(
      'SMOKE_TEST_FAILED',
      `the snapshot of PersistentVolumeClaim ${namespace}/${NAME} returned ${JSON.stringify(found)} instead of what was written`,
    )
  await kube.delete({apiVersion: 'v1', kind: 'Pod', namespace, name: 'restored'})
  await deleteClaim(tools, RESTORED)
  await kube.delete(snapshot)
}

async function untilStatus(
  {kube, signal, progress}: SmokeTools,
  ref: ObjectRef,
  state: string,
  read: (status: unknown) => {readonly isDone: boolean; readonly seen: string},
): Promise<void> {
  await waitFor({
    what: `${ref.kind} ${ref.namespace ?? ''}/${ref.name} to be ${state}`,
    check: async () => {
      const {isDone, seen} = read((await kube.get(ref))?.['status'] ?? {})
      return isDone ? {value: true, seen} : {seen}
    },
    timeoutMs: LIMIT_MS,
    intervalMs: 1000,
    signal,
    onSeen: progress,
  })
}
