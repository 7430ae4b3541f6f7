// A cluster whose second worker takes what runs on the first, and a process that holds memory there.
import {hostname} from 'node:os'
import {join} from 'node:path'
import {SMOKE_REFERENCE} from '../../src/bundle/catalogue.ts'
import {retry} from '../../src/base/waiting.ts'
import type {Machine} from '../../src/spec/machine.ts'
import {diskStore} from '../../src/store/disk.ts'
import {run, type Bench, type Clouder} from './clusters.ts'

export const [PLANE, SOURCE, TARGET] = ['cp-1', 'worker-1', 'worker-2'] as const

/** A cluster of a control plane and two workers. */
export interface MoveCluster extends Bench {
  readonly name: string
  readonly home: string
  readonly clouder: Clouder
}

export async function machinesOf({home, name}: MoveCluster): Promise<readonly Machine[]> {
  const store = diskStore({home, now: () => Date.now(), pid: process.pid, hostname: hostname()})
  return (await store.load(name))?.machines ?? []
}

/** It fills its memory before it answers, and the API server reaches it once its kubelet has reported its address. */
export const memoryOf = (cluster: MoveCluster, pod: string): Promise<string> =>
  retry(
    () => onPlane(cluster, ['get', '--raw', `/api/v1/namespaces/default/pods/${pod}:8080/proxy/memory`]),
    {timeoutMs: 120_000, intervalMs: 100, signal: cluster.signal, again: () => true},
  )

export async function waitReady(cluster: MoveCluster, pod: string): Promise<void> {
  await onPlane(cluster, ['wait', '--for=condition=Ready', `pod/${pod}`, '--timeout=120s'])
}

/** `hasProbe`: it is ready when it has filled its memory; a move of it waits for the probe then, too. */
export const podOf = (name: string, mebibytes: number, nodeName: string, {hasProbe = true} = {}) => ({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {name},
  spec: {
    nodeName,
    automountServiceAccountToken: false,
    terminationGracePeriodSeconds: 1,
    containers: [
      {
        name: 'smoke',
        image: SMOKE_REFERENCE,
        imagePullPolicy: 'IfNotPresent',
        args: ['serve', ':8080', String(mebibytes)],
        ports: [{containerPort: 8080}],
        ...(hasProbe ? {readinessProbe: {httpGet: {path: '/', port: 8080}, periodSeconds: 1}} : {}),
      },
    ],
  },
})

/** Runs kubectl as the administrator. */
export const onPlane = (cluster: MoveCluster, words: readonly string[], input = ''): Promise<string> =>
  onHost(cluster, PLANE, ['kubectl', '--kubeconfig', '/etc/kubernetes/admin.conf', ...words], input)

/** Runs a command on a node over SSH; gives its standard output. */
export async function onHost(
  {home, signal}: MoveCluster,
  host: string,
  line: readonly string[],
  input = '',
): Promise<string> {
  return (await run(['ssh', '-F', join(home, 'ssh_config'), host, ...line], {signal, input})).stdout
}
