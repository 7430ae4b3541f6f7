import {mkdir, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {parsePod} from '../../../../src/kubernetes/pod.ts'
import {volumesToPack} from '../../../../src/programs/node-agent/dump-volumes.ts'
import type {FileSize} from '../../../../src/programs/node-agent/upper-layer.ts'
import {podVolumes, type PodVolumes} from '../../../../src/programs/node-agent/volumes.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const LIMIT_BYTES = 4 * 1024 ** 3
const POD = parsePod({
  apiVersion: 'v1',
  kind: 'Pod',
  metadata: {name: 'web', namespace: 'shop', uid: UID},
  spec: {
    containers: [],
    volumes: [
      {name: 'data', emptyDir: {}},
      {name: 'parts', emptyDir: {}},
      {name: 'fast', emptyDir: {medium: 'Memory'}},
      {name: 'huge', emptyDir: {medium: 'HugePages-2Mi'}},
      {name: 'unused', emptyDir: {}},
      {name: 'config', configMap: {name: 'web'}},
    ],
  },
})
const OF_POD = `/var/lib/kubelet/pods/${UID}`
const emptyDir = (name: string, uid = UID): string =>
  `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~empty-dir/${name}`

test('volumes of a pod are those that its containers mount and that end with it, each once', async () => {
  await withTempFolder(async (folder) => {
    const mountsOf = async (id: string, sources: readonly string[]): Promise<void> => {
      await mkdir(join(folder, id))
      const mounts = [{destination: '/proc', type: 'proc'}, ...sources.map((source) => ({source}))]
      await writeFile(join(folder, id, 'config.json'), JSON.stringify({mounts}))
    }
    const shm = '/run/containerd/io.containerd.grpc.v1.cri/sandboxes/ac951c/shm'
    await mountsOf('one', [emptyDir('data'), shm, emptyDir('huge'), `${OF_POD}/etc-hosts`])
    await mountsOf('two', [
      emptyDir('data'),
      emptyDir('fast'),
      `${OF_POD}/volume-subpaths/parts/two/0`,
      `${OF_POD}/volumes/kubernetes.io~configmap/config`,
      emptyDir('unused', 'another-pod'),
    ])
    const volumes = podVolumes({
      limitBytes: LIMIT_BYTES,
      podsDir: '/pods',
      taskDir: folder,
      pack: () => Promise.resolve(),
    })
    expect(await volumes.find(POD, ['one', 'ended', 'two'])).toEqual([
      ...['data', 'fast', 'parts'].map((name) => ({
        name: `emptydir-${name}`,
        path: `/pods/${UID}/volumes/kubernetes.io~empty-dir/${name}`,
      })),
      {name: 'shm', path: shm},
    ])
  })
})

const FOUND = [
  {name: 'emptydir-data', path: '/data'},
  {name: 'shm', path: '/shm'},
] as const
/** Two volumes that have that much each. */
const having = (size: Partial<FileSize>): {volumes: PodVolumes; log: () => void} => ({
  volumes: {
    limitBytes: LIMIT_BYTES,
    find: () => Promise.resolve(FOUND),
    measure: () => Promise.resolve({fileBytes: 0, holeBytes: 0, sparsest: '', ...size}),
    pack: () => Promise.resolve(),
  },
  log: () => undefined,
})

test('what fits is packed with its pod; what does not fit is refused where the pod is to end', async () => {
  const half = LIMIT_BYTES / 2
  const fits = {volumes: FOUND, sizeBytes: LIMIT_BYTES}
  for (const keepsRunning of [true, false])
    expect(await volumesToPack(POD, [], keepsRunning, having({fileBytes: half}))).toEqual(fits)
  for (const [size, why] of [
    [{fileBytes: half + 1}, /have 4097 MiB; at most 4096 MiB/],
    [{fileBytes: 1000, holeBytes: 1024 ** 3}, /have 2048 MiB of holes/],
  ] as const) {
    expect((await volumesToPack(POD, [], true, having(size))).volumes).toEqual([])
    await expect(volumesToPack(POD, [], false, having(size))).rejects.toMatchObject({
      code: 'TOO_LARGE',
      message: expect.stringMatching(why) as string,
    })
  }
})

test('a cluster that wants none of them in its checkpoints has none', async () => {
  const {volumes, log} = having({fileBytes: 1})
  for (const keepsRunning of [true, false])
    expect(await volumesToPack(POD, [], keepsRunning, {volumes: {...volumes, limitBytes: 0}, log})).toEqual({
      volumes: [],
      sizeBytes: 0,
    })
})
