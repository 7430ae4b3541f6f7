import {mkdir, readdir, readFile, stat, writeFile} from 'node:fs/promises'
import {connect} from 'node:net'
import {dirname, join} from 'node:path'
import {gzipSync} from 'node:zlib'
import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {SLACK_BYTES} from '../../../../src/checkpoint/ephemeral-storage.ts'
import {RESTORE_ANNOTATION, RESTORE_RUNTIME} from '../../../../src/api/names.ts'
import {restoreAnswerSchema, type RestoreAnswer} from '../../../../src/api/handler-protocol.ts'
import {startAgent} from '../../../../src/programs/node-agent/agent.ts'
import {answerRestore} from '../../../../src/programs/node-agent/restore-decision.ts'
import {digestSchema} from '../../../../src/api/sealed-checkpoint.ts'
import {nodeLimits} from '../../../../src/programs/node-agent/limits.ts'
import {checkpointRef} from '../../../../src/programs/node-agent/checkpoint-object.ts'
import {plainTar} from '../../../../src/programs/node-agent/plain-tar.ts'
import {podRef} from '../../../../src/kubernetes/pod.ts'
import {diskPreparations} from '../../../../src/programs/node-agent/prepare.ts'
import {serveRestores} from '../../../../src/programs/node-agent/serve.ts'
import {reconcileCheckpoint} from '../../../../src/programs/node-agent/checkpoint-reconciler.ts'
import type {AgentTools} from '../../../../src/programs/node-agent/tools.ts'
import {image, message} from '../../../support/criu-images.ts'
import {FakeNode, Life, NODE, POD} from '../../../support/fake-node.ts'
import {MEMBERS, SPEC} from '../../../support/kubelet-archive.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const NAME = {namespace: POD.namespace, name: 'nightly'}
const OWN_IMAGE = `sha256:${'ad'.repeat(32)}`

interface Bench {
  readonly node: FakeNode
  readonly ask: (
    id?: string,
    changed?: {
      namespace?: string
      podUid?: string
      container?: string
      checkpoint?: string
      spec?: unknown
    },
  ) => Promise<RestoreAnswer>
  readonly folder: string
  readonly uid: string
  /** What the kubelet would tell of the restored pod's container. */
  readonly tell: (status: Record<string, unknown>) => void
  /** Undefined: the node does not tell. */
  imageDigests: readonly string[] | undefined
  /** Of the node, where not those of the fake one. */
  limits: AgentTools['limits'] | undefined
  cpuFeatures: string[]
  freeBytes: number
  /** What may be unpacked to memory. */
  memoryBytes: number
}

/** A Ready checkpoint of one pod, and another pod that is to go on from it. */
async function withRestore(
  use: (bench: Bench) => Promise<void>,
  members: FakeNode['members'] = {},
  {volumes, podSpec = {}}: {volumes?: FakeNode['volumes']; podSpec?: object} = {},
): Promise<void> {
  await withTempFolder(async (folder) => {
    const node = new FakeNode(folder)
    if (volumes !== undefined) Object.assign(node, {volumes, dumpWay: 'Direct'})
    node.members = members
    node.ask(NAME.name, {})
    const {signal} = new AbortController()
    const lived = node.tools(new Life(), signal)
    const tools: AgentTools = {
      ...lived,
      nodeFeatures: async () => ({...(await lived.nodeFeatures()), cpuFeatures: bench.cpuFeatures}),
      freeBytes: () => Promise.resolve(bench.freeBytes),
    }
    await reconcileCheckpoint(NAME, lived)
    const put = (status: Record<string, unknown>): void =>
      node.kube.put({
        apiVersion: 'v1',
        kind: 'Pod',
        metadata: {
          name: 'again',
          namespace: POD.namespace,
          annotations: {[RESTORE_ANNOTATION]: NAME.name},
        },
        spec: {
          nodeName: NODE,
          runtimeClassName: RESTORE_RUNTIME,
          containers: [{name: 'smoke', image: 'clouder.dev/smoke:1'}],
          ...podSpec,
        },
        status,
      })
    put({phase: 'Pending'})
    const uid = (await node.kube.get(podRef(NAME.namespace, 'again')))?.metadata.uid ?? ''
    const bootIdFile = join(folder, 'boot_id')
    await writeFile(bootIdFile, 'one')
    const preparations = diskPreparations(join(folder, 'restore'), {
      ...{...tools, bootIdFile, memoryFolder: join(folder, 'memory')},
      memory: {
        reserve: (bytes) => Promise.resolve(bytes <= bench.memoryBytes ? () => undefined : undefined),
      },
    })
    const bench: Bench = {
      node,
      folder,
      uid,
      imageDigests: [OWN_IMAGE],
      limits: undefined,
      cpuFeatures: ['avx2', 'sse4_2'],
      freeBytes: 2 ** 40,
      memoryBytes: 0,
      tell: (status) => put({phase: 'Running', containerStatuses: [{name: 'smoke', ...status}]}),
      ask: async (
        id = 'first',
        {
          namespace = NAME.namespace,
          podUid = uid,
          container = 'smoke',
          checkpoint = NAME.name,
          spec = SPEC,
        } = {},
      ) => {
        const bundle = join(folder, 'bundle')
        await mkdir(bundle, {recursive: true})
        await writeFile(join(bundle, 'config.json'), JSON.stringify(spec))
        const request = {
          version: 1 as const,
          id,
          bundle,
          namespace,
          pod: 'again',
          podUid,
          container,
          checkpoint,
        }
        return answerRestore(request, {
          ...tools,
          preparations,
          limits: bench.limits ?? tools.limits,
          imageDigests: () =>
            bench.imageDigests === undefined
              ? Promise.reject(new Error('ctr does not answer'))
              : Promise.resolve(bench.imageDigests),
        })
      },
    }
    await use(bench)
  })
}

const refusal = (answer: RestoreAnswer): string =>
  answer.action === 'refuse' ? answer.message : answer.action

test('a container is restored from files that only root may read, opened and verified', async () => {
  await withRestore(async ({ask, folder, uid}) => {
    const answer = await ask()
    expect(restoreAnswerSchema.parse(answer)).toEqual(answer)
    expect(answer).toMatchObject({action: 'restore', deleted: []})
    const dir = join(folder, 'restore', uid)
    expect((await stat(join(dir, 'smoke'))).mode & 0o777).toBe(0o700)
    expect(await readFile(join(dir, 'smoke', 'dump.log'), 'utf8')).toBe(MEMBERS['dump.log'])
    expect(answer.action === 'restore' && answer.imageDir.startsWith(dir)).toBe(true)
  })
})

const SMALL_PACKED = gzipSync(Buffer.alloc(4 * 1024 * 1024, 'a'))
/** Of which a restore reads where they are. */
const imageDirOf = (answer: RestoreAnswer): string =>
  answer.action === 'restore' ? answer.imageDir : refusal(answer)

test.for([
  ['memory, where it has room', 2 ** 20, 'memory'],
  ['the disk, where memory has no room', 1, 'restore'],
  ['the disk, when it turns out to be larger than the room in memory', 2 ** 20, 'restore', SMALL_PACKED],
] as const)('a checkpoint is unpacked to %s', async ([, memoryBytes, place, changes]) => {
  await withRestore(
    async (bench) => {
      const {folder, uid, node, ask, tell} = bench
      bench.memoryBytes = memoryBytes
      const images = imageDirOf(await ask())
      expect(images).toBe(join(folder, place, uid, 'smoke/checkpoint'))
      expect(await readdir(join(folder, 'memory', uid)).catch(() => [])).toEqual(
        place === 'memory' ? ['smoke'] : [],
      )
      // An agent that is started again finds it.
      expect(imageDirOf(await ask())).toBe(images)
      const ended = new AbortController()
      const tools = {...node.tools(new Life(), ended.signal), memoryFolder: join(folder, 'memory')}
      startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
      tell({containerID: 'containerd://first', state: {running: {}}})
      const left = async (): Promise<readonly string[]> => await readdir(dirname(dirname(images)))
      await expect.poll(left, {interval: 5}).not.toContain('smoke')
      node.kube.drop(podRef(NAME.namespace, 'again'))
      const pods = async (): Promise<readonly string[]> => await readdir(join(folder, place))
      await expect.poll(pods, {interval: 5}).toEqual([])
      ended.abort()
    },
    {'checkpoint/pages-1.img': 'memory', ...(changes === undefined ? {} : {'rootfs-diff.tar': changes})},
  )
})

const VOLUMES = [
  {name: 'emptydir-cache', path: '/pods/cache'},
  {name: 'emptydir-fast', path: '/pods/fast'},
  {name: 'emptydir-gone', path: '/pods/gone'},
  {name: 'shm', path: '/sandboxes/one/shm'},
] as const

test('volumes that were dumped with the pod are restored to those of the new one, once', async () => {
  const podSpec = {
    volumes: [
      {name: 'cache', emptyDir: {}},
      {name: 'fast', emptyDir: {medium: 'Memory'}},
      {name: 'gone', configMap: {name: 'gone'}},
    ],
  }
  const bench = async ({ask, folder, uid}: Bench) => {
    const spec = {...SPEC, annotations: {'io.kubernetes.cri.sandbox-id': 'ab12'}}
    const answer = restoreAnswerSchema.parse(await ask('first', {spec}))
    if (answer.action !== 'restore') throw new Error(answer.action)
    const restored = join(folder, 'restore', uid)
    const pods = `/var/lib/kubelet/pods/${uid}/volumes/kubernetes.io~empty-dir`
    expect(answer.volumes).toEqual([
      {
        archive: join(restored, 'smoke/volumes/emptydir-cache.tar'),
        target: `${pods}/cache`,
        marker: join(restored, 'emptydir-cache.volume'),
        clear: true,
      },
      {
        archive: join(restored, 'smoke/volumes/emptydir-fast.tar'),
        target: `${pods}/fast`,
        marker: join(restored, 'emptydir-fast-one.volume'),
        clear: true,
      },
      {
        archive: join(restored, 'smoke/volumes/shm.tar'),
        target: '/run/containerd/io.containerd.grpc.v1.cri/sandboxes/ab12/shm',
        marker: join(restored, 'shm-ab12.volume'),
        clear: true,
      },
    ])
    for (const {archive} of answer.volumes ?? [])
      expect(await readFile(archive, 'utf8')).toMatch(/^tar of \//)
  }
  await withRestore(bench, {}, {volumes: VOLUMES, podSpec})
})

test('volumes that a sidecar uses already are not emptied', async () => {
  const podSpec = {
    volumes: [{name: 'cache', emptyDir: {}}],
    initContainers: [{name: 'proxy', image: 'proxy:1', restartPolicy: 'Always'}],
  }
  const bench = async ({ask}: Bench) => {
    const answer = await ask()
    const volumes = answer.action === 'restore' ? answer.volumes : undefined
    expect(volumes?.map(({clear}) => clear)).toEqual([false])
  }
  await withRestore(bench, {}, {volumes: VOLUMES.slice(0, 1), podSpec})
})

test.for(['', '{"imageDir":'])(
  'a marker that a power cut left as %j is no marker, and what it told of is unpacked again',
  async (left) => {
    await withRestore(async ({ask, folder, uid}) => {
      const first = await ask()
      const dir = join(folder, 'restore', uid)
      await writeFile(join(dir, 'smoke.json'), left)
      await writeFile(join(dir, 'smoke', 'dump.log'), '')
      expect(await ask()).toEqual(first)
      expect(await readFile(join(dir, 'smoke', 'dump.log'), 'utf8')).toBe(MEMBERS['dump.log'])
    })
  },
)

test('what was unpacked before the node was started again may lack pages, and is unpacked again', async () => {
  await withRestore(async ({ask, folder, uid}) => {
    const first = await ask()
    const page = join(folder, 'restore', uid, 'smoke', 'dump.log')
    await writeFile(page, '')
    expect(await ask()).toEqual(first)
    expect(await readFile(page, 'utf8')).toBe('')
    await writeFile(join(folder, 'boot_id'), 'two')
    expect(await ask()).toEqual(first)
    expect(await readFile(page, 'utf8')).toBe(MEMBERS['dump.log'])
  })
})

test('an empty note of what was asked is none', async () => {
  await withRestore(async ({ask, folder, uid}) => {
    await ask('first')
    await writeFile(join(folder, 'restore', uid, 'smoke.requested'), '')
    expect(await ask('second')).toMatchObject({action: 'restore'})
  })
})

test('one whose restore failed is restored again; one that had run is created anew', async () => {
  await withRestore(async ({ask, tell, folder, uid}) => {
    expect(await ask('first')).toMatchObject({action: 'restore'})
    tell({lastState: {terminated: {reason: 'StartError', containerID: 'containerd://first'}}})
    expect(await ask('second')).toMatchObject({action: 'restore'})
    tell({lastState: {terminated: {reason: 'Error', containerID: 'containerd://second'}}})
    expect(await ask('third')).toEqual({version: 1, action: 'create'})
    expect((await readdir(join(folder, 'restore', uid))).sort()).toEqual([
      'smoke.requested',
      'smoke.restored',
    ])
    expect(await ask('fourth')).toEqual({version: 1, action: 'create'})
  })
})

test('while an attempt that nobody tells of still has processes, none is begun, anew least of all', async () => {
  await withRestore(async ({ask, node, tell}) => {
    expect(await ask('id-of-smoke')).toMatchObject({action: 'restore'})
    expect(refusal(await ask('second'))).toContain('has not ended yet')
    node.processes.alive = false
    expect(await ask('second')).toMatchObject({action: 'restore'})
    tell({containerID: 'containerd://second', state: {running: {}}})
    expect(await ask('third')).toEqual({version: 1, action: 'create'})
  })
})

test('a container that the checkpoint does not hold is created as any other', async () => {
  await withRestore(async ({ask}) => {
    expect(await ask('first', {container: 'sidecar'})).toEqual({version: 1, action: 'create'})
  })
})

test('images that the node does not tell of stand against a restore, not against a container made anew', async () => {
  await withRestore(async (bench) => {
    bench.imageDigests = undefined
    expect(await bench.ask('first', {container: 'sidecar'})).toEqual({version: 1, action: 'create'})
    expect(refusal(await bench.ask('second'))).toContain('ctr does not answer')
  })
})

test('processes that may do more than the pod are refused, each point named', async () => {
  await withRestore(async ({ask}) => {
    const narrower = {
      ...SPEC,
      process: {...SPEC.process, noNewPrivileges: true, capabilities: {bounding: ['CAP_CHOWN']}},
    }
    const message = refusal(await ask('first', {spec: narrower}))
    expect(message).toContain('PRIVILEGES_WIDER')
    expect(message).toContain('CAP_KILL')
    expect(message).toContain('allowPrivilegeEscalation')
  })
})

const PSTREE = image(0x50273030, [[1, 1]])
/** Limits 60 of 60 seconds, and an oom_score_adj. */
const core = (cpu: number, score: number) =>
  image(0x55053847, [
    [
      3,
      message([
        [6, 'app'],
        [
          8,
          message([
            [
              1,
              message([
                [1, cpu],
                [2, cpu],
              ]),
            ],
          ]),
        ],
        [14, score],
      ]),
    ],
  ])
const FILES = {
  'checkpoint/pstree.img': PSTREE,
  'checkpoint/core-1.img': core(60, 300),
  'checkpoint/ids-1.img': image(0x54432030, [[2, 5]]),
  'checkpoint/fdinfo-5.img': image(0x56213732, [[4, 0]], [[4, 1]], [[4, 2]]),
}
const withRlimits = (...rlimits: readonly {type: string; hard: number}[]) => ({
  ...SPEC,
  process: {...SPEC.process, rlimits},
})

test.for<readonly [string, object, Bench['node']['limits'], number]>([
  ['its spec names', withRlimits({type: 'RLIMIT_CPU', hard: 59}), new Map(), 59],
  ['the node gives', SPEC, new Map([['RLIMIT_CPU', 58]]), 58],
  ['and not raised to those', SPEC, new Map([['RLIMIT_CPU', 61]]), 60],
])('limits of dumped processes are lowered to those that %s', async ([, spec, limits, cpu]) => {
  await withRestore(async ({ask, node}) => {
    node.limits = limits
    for (const id of ['first', 'second']) {
      const answer = await ask(id, {spec})
      if (answer.action !== 'restore') throw new Error(refusal(answer))
      expect(await readFile(join(answer.imageDir, 'core-1.img'))).toEqual(core(cpu, SPEC.process.oomScoreAdj))
      expect(await readdir(answer.imageDir)).toHaveLength(Object.keys(FILES).length)
    }
  }, FILES)
})

test('processes with more in use than the new container may have are refused', async () => {
  await withRestore(async ({ask, node}) => {
    node.limits = new Map([['RLIMIT_NOFILE', 2]])
    expect(refusal(await ask('first'))).toMatch(
      /PRIVILEGES_WIDER.*3 files open.*RLIMIT_NOFILE of the pod is 2/,
    )
    const wider = withRlimits({type: 'RLIMIT_NOFILE', hard: 3})
    expect(await ask('second', {spec: wider})).toMatchObject({action: 'restore'})
  }, FILES)
})

test('an image whose limits cannot be read, or a node whose, is no reason to restore without', async () => {
  const broken = {...FILES, 'checkpoint/core-1.img': core(60, 300).subarray(0, -1)}
  await withRestore(async ({ask}) => {
    expect(refusal(await ask())).toContain('core-1.img is not a CRIU image of a process')
  }, broken)
  await withRestore(async (bench) => {
    bench.limits = nodeLimits(join(bench.folder, 'proc'))
    expect(refusal(await bench.ask())).toContain(
      'could not determine the resource limits of pods on this node',
    )
  }, FILES)
})

test('another base image is refused, and one that the node does not know', async () => {
  await withRestore(async (bench) => {
    bench.imageDigests = []
    expect(refusal(await bench.ask())).toContain('IMAGE_UNAVAILABLE')
    bench.imageDigests = [`sha256:${'ee'.repeat(32)}`]
    expect(refusal(await bench.ask())).toContain('IMAGE_UNAVAILABLE')
  })
})

test('a request for another pod than the one on this node is refused', async () => {
  await withRestore(async ({ask, node}) => {
    expect(refusal(await ask('first', {podUid: '11111111-2222-4333-8444-555555555555'}))).toContain(
      'RESTORE_FAILED',
    )
    expect(refusal(await ask('first', {checkpoint: 'other'}))).toContain(
      'is not annotated with checkpoint other',
    )
    const pod = await node.kube.get(podRef(NAME.namespace, 'again'))
    if (pod === undefined) throw new Error('there is no pod')
    node.kube.put({...pod, spec: {...Object(pod['spec']), nodeName: 'another'}})
    expect(refusal(await ask())).toContain('is not on this node')
    node.kube.put(pod)
    expect(refusal(await ask())).toBe('restore')
    node.kube.drop(podRef(NAME.namespace, 'again'))
    expect(refusal(await ask())).toContain('is not on this node')
  })
})

test('a node whose CPU lacks what the processes may have come to use is refused', async () => {
  await withRestore(async (bench) => {
    bench.cpuFeatures = ['sse4_2']
    expect(refusal(await bench.ask())).toContain('NODE_UNLIKE: this node cannot run the pod: its CPU')
  })
})

test('what was tampered with in the store is refused, and so is a checkpoint that is gone', async () => {
  await withRestore(async ({ask, node}) => {
    const [key] = [...node.blobs.objects.keys()].filter((name) => name.startsWith('blobs/sha256/'))
    node.blobs.tamper(digestSchema.parse(`sha256:${key?.slice('blobs/sha256/'.length)}`))
    expect(refusal(await ask())).toContain('BLOB_TAMPERED')
    node.kube.drop(checkpointRef(NAME))
    expect(refusal(await ask())).toContain('CHECKPOINT_UNKNOWN')
  })
})

test('a checkpoint that was made in another namespace is refused, and one that is not Ready', async () => {
  await withRestore(async ({ask, node}) => {
    const namespace = 'other'
    node.kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name: namespace}})
    for (const ref of [checkpointRef(NAME), podRef(NAME.namespace, 'again')]) {
      const object = await node.kube.get(ref)
      if (object === undefined) throw new Error(`there is no ${ref.kind}`)
      const {name, annotations} = object.metadata
      node.kube.put({
        ...object,
        metadata: {name, namespace, ...(annotations === undefined ? {} : {annotations})},
      })
    }
    const podUid = (await node.kube.get(podRef(namespace, 'again')))?.metadata.uid ?? ''
    expect(refusal(await ask('first', {namespace, podUid}))).toContain(
      `was created in namespace ${NAME.namespace}, not in other`,
    )
    await node.kube.patch(checkpointRef(NAME), {status: {phase: 'Storing'}}, {subresource: 'status'})
    expect(refusal(await ask())).toContain('is Storing, not Ready')
    await node.kube.patch(checkpointRef(NAME), {status: {phase: 'Ready'}}, {subresource: 'status'})
    expect(refusal(await ask())).toBe('restore')
  })
})

const MANY = Buffer.alloc(SLACK_BYTES + 2 ** 20, 'a')

test.for([
  ['as they are', MANY],
  ['compressed', gzipSync(MANY)],
] as const)(
  'changed files above what the pod may keep are refused, and nothing is left of them: %s',
  async ([, changes]) => {
    await withRestore(
      async ({ask, node, folder, uid}) => {
        const pod = await node.kube.get(podRef(NAME.namespace, 'again'))
        if (pod === undefined) throw new Error('there is no pod')
        const limited = (storage: string) => ({
          name: 'smoke',
          image: 'clouder.dev/smoke:1',
          resources: {limits: {'ephemeral-storage': storage}},
        })
        const limit = (storage: string): void =>
          node.kube.put({...pod, spec: {...Object(pod['spec']), containers: [limited(storage)]}})
        limit('1Ki')
        expect(refusal(await ask())).toContain('TOO_LARGE')
        expect(await readdir(join(folder, 'restore', uid))).toEqual([])
        limit('2Mi')
        expect(refusal(await ask())).toBe('restore')
      },
      {'rootfs-diff.tar': changes},
    )
  },
)

test('what would fill the node is refused', async () => {
  await withRestore(async (bench) => {
    bench.freeBytes = 256 * 2 ** 20
    expect(refusal(await bench.ask())).toContain('TOO_LARGE')
    bench.freeBytes += 2 ** 20
    expect(refusal(await bench.ask())).toBe('restore')
  })
})

test('nothing is left of a pod that is gone, nor of one whose containers run', async () => {
  await withRestore(async ({node, tell, ask, folder, uid}) => {
    expect(await ask('first')).toMatchObject({action: 'restore'})
    const ended = new AbortController()
    const tools = node.tools(new Life(), ended.signal)
    startAgent(tools, diskPreparations(join(folder, 'restore'), tools), new Registry())
    const left = async (): Promise<readonly string[]> =>
      (await readdir(join(folder, 'restore', uid)).catch(() => [])).sort()
    tell({containerID: 'containerd://first', state: {running: {}}})
    await expect.poll(left, {interval: 5}).toEqual(['smoke.requested', 'smoke.restored'])
    node.kube.drop(podRef(NAME.namespace, 'again'))
    await expect.poll(left, {interval: 5}).toEqual([])
    ended.abort()
  })
})

test('the socket takes one line and gives one; what is no request is refused', async () => {
  await withTempFolder(async (folder) => {
    const path = join(folder, 'agent/restore.sock')
    const noted: string[] = []
    const server = await serveRestores(path, {
      answer: (request) => Promise.resolve({version: 1, action: 'refuse', message: `asked by ${request.id}`}),
      restored: ({id}) => void noted.push(id),
    })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    const say = (line: string): Promise<string> =>
      new Promise((resolve, reject) => {
        const socket = connect(path, () => socket.write(line))
        let text = ''
        socket.setEncoding('utf8').on('data', (part: string) => (text += part))
        socket.on('error', reject).on('close', () => resolve(text))
      })
    const request = {
      version: 1,
      id: 'c1',
      bundle: '/b',
      namespace: 'n',
      pod: 'p',
      podUid: 'u',
      container: 'c',
      checkpoint: 'k',
    }
    expect(await say(`${JSON.stringify(request)}\n`)).toBe(
      '{"version":1,"action":"refuse","message":"asked by c1"}\n',
    )
    expect(noted).toEqual([])
    // Nothing is answered to what is only reported.
    expect(await say(`${JSON.stringify({...request, event: 'restored'})}\n`)).toBe('')
    expect(noted).toEqual(['c1'])
    expect(await say(`${JSON.stringify({...request, event: 'another'})}\n`)).toContain('could not handle')
    expect(await say('{"version":2}\n')).toContain('could not handle the request')
    expect(await say(`${'x'.repeat(70_000)}\n`)).toContain('could not handle the request')
    server.close()
  })
})

test('changes that the runtime compressed are plain when the handler gets them', async () => {
  await withTempFolder(async (folder) => {
    const path = join(folder, 'rootfs-diff.tar')
    const plain = Buffer.alloc(2048, 'a')
    await writeFile(path, gzipSync(plain))
    await plainTar(path, new AbortController().signal)
    expect(await readFile(path)).toEqual(plain)
    await plainTar(path, new AbortController().signal)
    expect(await readFile(path)).toEqual(plain)
  })
})
