import {waitFor} from '../../base/waiting.ts'
import {KubernetesError} from '../../kubernetes/errors.ts'
import type {KubeObject} from '../../kubernetes/types.ts'
import type {SmokeTools} from './addon.ts'
import {deletePod, runPod} from './smoke-pods.ts'

const GONE_MS = 120_000

export interface ClaimOptions {
  readonly name: string
  /** Absent: the default class. */
  readonly storageClassName?: string
  readonly size?: string
  readonly accessMode?: 'ReadWriteOnce' | 'ReadWriteMany'
}

export const claim = (
  namespace: string,
  {name, storageClassName, size = '64Mi', accessMode = 'ReadWriteOnce'}: ClaimOptions,
): KubeObject => ({
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: {name, namespace},
  spec: {
    accessModes: [accessMode],
    ...(storageClassName === undefined ? {} : {storageClassName}),
    resources: {requests: {storage: size}},
  },
})

const mounted = (claimName: string) => [
  {
    volume: {name: 'data', persistentVolumeClaim: {claimName}},
    mount: {name: 'data', mountPath: '/data'},
  },
]

/** Writes to a claim from one pod, deletes the pod, and reads the same from another one. */
export async function proveClaim(tools: SmokeTools, claimName: string): Promise<void> {
  const {facts, progress} = tools
  const image = facts.image('shell')
  const volumes = mounted(claimName)
  const text = `clouder ${claimName} ${Date.now()}`
  const env = [{name: 'TEXT', value: text}]
  progress(`writing to claim ${claimName}`)
  const write = 'printf "%s" "$TEXT" > /data/text && sync'
  await runPod(tools, {name: 'writer', image, command: ['/bin/sh', '-c', write], env, volumes})
  await deletePod(tools, 'writer')
  progress(`reading claim ${claimName}`)
  const read = await runPod(tools, {
    name: 'reader',
    image,
    command: ['/bin/sh', '-c', 'cat /data/text'],
    volumes,
  })
  await deletePod(tools, 'reader')
  if (read !== text)
    throw new KubernetesError(
      'SMOKE_TEST_FAILED',
      `PersistentVolumeClaim ${tools.namespace}/${claimName} returned ${JSON.stringify(read)}, written was ${JSON.stringify(text)}`,
    )
}

/** Deletes a claim and waits until its volume is gone too. */
export async function deleteClaim({kube, namespace, signal}: SmokeTools, name: string): Promise<void> {
  const ref = {apiVersion: 'v1', kind: 'PersistentVolumeClaim', namespace, name}
  const spec = (await kube.get(ref))?.['spec']
  await kube.delete(ref)
  const volume =
    typeof spec === 'object' && spec !== null && 'volumeName' in spec ? String(spec.volumeName) : undefined
  if (volume === undefined) return
  await waitFor({
    what: `PersistentVolume ${volume} to be deleted`,
    check: async () => {
      const left = await kube.get({apiVersion: 'v1', kind: 'PersistentVolume', name: volume})
      return left === undefined ? {value: true, seen: ''} : {seen: JSON.stringify(left['status'])}
    },
    timeoutMs: GONE_MS,
    intervalMs: 500,
    signal,
  })
}
