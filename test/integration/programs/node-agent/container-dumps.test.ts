import {mkdir, readFile, writeFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {delimitedField as field, numberField} from '../../../../src/checkpoint/archive/protobuf.ts'
import {readArchive} from '../../../../src/checkpoint/archive/read.ts'
import {diskArchives} from '../../../../src/programs/node-agent/archives.ts'
import {openCgroups} from '../../../../src/programs/node-agent/cgroups.ts'
import {criCheckpoint} from '../../../../src/programs/node-agent/container-checkpoint.ts'
import {directDump, PreCopiedDumpError} from '../../../../src/programs/node-agent/direct-dump.ts'
import {roundName} from '../../../../src/checkpoint/archive/pre-copy.ts'
import {CheckpointError} from '../../../../src/checkpoint/errors.ts'
import type {Runc} from '../../../../src/programs/node-agent/runc.ts'
import {readContainer} from '../../../../src/programs/node-agent/runtime-container.ts'
import {TrackedMemory, trackedRunc} from '../../../support/tracked-memory.ts'
import {containerdTasks} from '../../../../src/programs/node-agent/runtime-tasks.ts'
import {serveRuntime, type RuntimeAnswer} from '../../../support/fake-runtime.ts'
import {MEMBERS, SPEC, tarOf} from '../../../support/kubelet-archive.ts'
import {noPageServers as pageServers} from '../../../support/page-servers.ts'
import {withTempFolder} from '../../../support/temp-folder.ts'

const UID = '59002284-99ba-40ea-be82-c5dfb31d88b6'
const TARGET = {namespace: 'work', pod: 'web', podUid: UID, container: 'smoke', containerId: '0a1b'}
const LABELS = {
  'io.kubernetes.pod.namespace': 'work',
  'io.kubernetes.pod.name': 'web',
  'io.kubernetes.pod.uid': UID,
  'io.kubernetes.container.name': 'smoke',
}
const IMAGE_REF = `sha256:${'ad'.repeat(32)}`
const PAGES = Buffer.alloc(70_000, 'memory')
const OK: RuntimeAnswer = {body: Buffer.alloc(0)}
const {signal} = new AbortController()

interface Runtime {
  readonly labels?: Readonly<Record<string, string>>
  readonly state?: number
  /** In place of the dump itself. */
  readonly dump?: RuntimeAnswer | 'never' | 'breaks off'
  readonly pause?: RuntimeAnswer
  /** In place of all answers. */
  readonly all?: RuntimeAnswer
}

interface Seen {
  readonly error: unknown
  /** Methods that were called, besides those that only ask. */
  readonly called: readonly string[]
  /** What was left in the cgroup of the pod when the runtime was told to resume. */
  readonly frozenAtResume: string | undefined
  readonly archive: Awaited<ReturnType<typeof readArchive>> | undefined
}

const labelsAs = (number: number, labels: Readonly<Record<string, string>>): Buffer =>
  Buffer.concat(
    Object.entries(labels).map(([key, value]) =>
      field(number, Buffer.concat([field(1, key), field(2, value)])),
    ),
  )

/** As containerd describes its container, in the two messages that tell of one. */
function described(method: string, {labels = LABELS, state = 1}: Runtime): RuntimeAnswer {
  if (method === 'ListContainers')
    return {body: field(1, Buffer.concat([field(1, '0a1b'), numberField(6, state), labelsAs(8, labels)]))}
  const image = field(8, field(1, 'clouder.dev/smoke:1'))
  const status = [
    field(1, '0a1b'),
    numberField(3, state),
    image,
    field(9, IMAGE_REF),
    labelsAs(12, labels),
    labelsAs(13, ANNOTATIONS),
  ]
  const info = Buffer.concat([field(1, 'info'), field(2, JSON.stringify({pid: 1, runtimeSpec: SPEC}))])
  return {body: Buffer.concat([field(1, Buffer.concat(status)), field(2, info)])}
}

/** What the kubelet knows the container by: one that lacks it is started anew. */
const ANNOTATIONS = {'io.kubernetes.container.hash': '8d4f9c21', 'io.kubernetes.container.restartCount': '0'}

type Way = 'Runtime' | 'Direct'

/** Dumps a container by a runtime that behaves so; what came of it. */
async function dumped(
  way: Way,
  runtime: Runtime,
  {
    stop = signal,
    freezePod = false,
    rounds = 0,
    runc = trackedRunc(new TrackedMemory()),
    lazy,
  }: {
    readonly stop?: AbortSignal
    readonly freezePod?: boolean
    /** Rounds of pre-copy that such a runc has made before. */
    readonly rounds?: number
    readonly runc?: Runc
    /** Memory stays in a page server, which that dump starts; whether CRIU holds the processes then. */
    readonly lazy?: {readonly run: () => Promise<void>; readonly isTraced: boolean}
  } = {},
): Promise<Seen> {
  return withTempFolder(async (folder) => {
    const [socket, cgroup] = [join(folder, 'runtime.sock'), join(folder, `cgroup/pod${UID}`)]
    await mkdir(join(cgroup, '0a1b'), {recursive: true})
    await writeFile(join(folder, 'cgroup/cgroup.controllers'), '')
    await writeFile(join(cgroup, '0a1b/cgroup.freeze'), '1\n')
    await writeFile(join(cgroup, 'cgroup.events'), 'populated 1\nfrozen 1\n')
    const called: string[] = []
    let frozenAtResume: string | undefined
    await using server = await serveRuntime(socket, async (request, path) => {
      const method = path.replace(/^.*\//, '')
      if (runtime.all !== undefined) return runtime.all
      if (['ListContainers', 'ContainerStatus'].includes(method)) return described(method, runtime)
      called.push(method)
      if (method === 'Pause') return runtime.pause ?? OK
      if (method === 'Resume') {
        frozenAtResume = await readFile(join(cgroup, 'cgroup.freeze'), 'utf8').catch(() => undefined)
        return OK
      }
      if (runtime.dump === 'breaks off') server.breakOff()
      if (typeof runtime.dump === 'string') return new Promise<RuntimeAnswer>(() => undefined)
      if (runtime.dump !== undefined) return runtime.dump
      if (method === 'CheckpointContainer')
        await writeFile(
          request.text(2) ?? '',
          await tarOf({...MEMBERS, 'checkpoint/pages-1.img': PAGES, 'rootfs-diff.tar': 'changes'}),
        )
      else await writeFile(join(request.message(3)?.message(2)?.text(8) ?? '', 'pages-1.img'), PAGES)
      return OK
    })
    const archives = diskArchives(join(folder, 'archives'))
    const cgroups = await openCgroups({root: join(folder, 'cgroup'), proc: '/proc', kill: () => undefined})
    const direct = directDump({
      tasks: containerdTasks(socket),
      runc,
      readContainer: (target, ended) => readContainer(socket, target, ended),
      packChanges: (_overlay, path) => writeFile(path, 'changes'),
      rootfsOf: () => '/rootfs',
      pageServers:
        lazy === undefined
          ? pageServers
          : {prepare: () => Promise.resolve({run: lazy.run, discard: () => Promise.resolve()})},
      cgroups:
        lazy === undefined
          ? cgroups
          : {
              freezePod: (one, until) => cgroups.freezePod(one, until),
              holdContainer: (one) => cgroups.holdContainer(one),
              isTraced: () => Promise.resolve(lazy.isTraced),
            },
      nowMs: () => performance.now(),
    })
    const dump = async (): Promise<void> => {
      const path =
        way === 'Direct'
          ? await archives.beginFolder(UID, 'smoke', 'disk')
          : await archives.begin(UID, 'smoke')
      const options = {
        cgroup: {version: 2, pod: cgroup, container: join(cgroup, '0a1b'), pid: 1},
        freezePod,
        upper: '/upper',
        rounds,
        ...(lazy === undefined ? {} : {lazyPod: UID}),
      } as const
      if (rounds > 0) await preCopied(path, rounds, runc)
      if (way === 'Direct') await direct(TARGET, path, options, stop)
      else await criCheckpoint(socket)(TARGET, path, stop)
      await archives.claim(path, UID, 'smoke')
    }
    const error: unknown = await dump().then(
      () => undefined,
      (problem: unknown) => problem,
    )
    const archive = error === undefined ? await readArchive(archives.skim(UID, 'smoke'), signal) : undefined
    return {error, called, frozenAtResume, archive}
  })
}

async function preCopied(folder: string, rounds: number, runc: Runc): Promise<void> {
  for (let round = 1; round <= rounds; round += 1) {
    const images = join(folder, 'checkpoint', roundName(round))
    await mkdir(images, {recursive: true})
    const before = round === 1 ? {} : {parent: `../${roundName(round - 1)}`}
    await (await runc.prepare('pre-dump', '0a1b', {images, work: '', ...before}, signal)).run(signal)
  }
}

test('a dump after rounds of pre-copy is of the memory as it was at the freeze, and the runtime pauses the pod for it', async () => {
  const memory = new TrackedMemory()
  for (let page = 0; page < 100; page += 1) memory.write(page, `first ${page}`)
  const runc = trackedRunc(memory, (_, round) => memory.write(round, `after round ${round}`))
  const {error, called, frozenAtResume, archive} = await dumped(
    'Direct',
    {},
    {freezePod: true, rounds: 2, runc},
  )
  expect(error).toBeUndefined()
  expect(runc.called).toEqual(['pre-dump', 'pre-dump', 'dump'])
  expect(called).toEqual(['Pause', 'Resume'])
  expect(frozenAtResume).toBe('1')
  expect(archive?.contents.imageBytes).toBeGreaterThan(memory.whole.length)
  expect(archive?.contents.imageBytes).toBeLessThan(memory.whole.length + 200)
})

test('a dump after rounds of pre-copy that fails says so, and the container runs on', async () => {
  const runc = trackedRunc(new TrackedMemory(), (kind) => {
    if (kind === 'dump') throw new CheckpointError('CHECKPOINT_FAILED', 'runc failed: no parent')
  })
  const {error, called} = await dumped('Direct', {}, {rounds: 1, runc})
  expect(error).toBeInstanceOf(PreCopiedDumpError)
  expect(error).toMatchObject({code: 'CHECKPOINT_FAILED', message: 'runc failed: no parent'})
  expect(called).toEqual(['Pause', 'Resume'])
})

const WAYS = ['Runtime', 'Direct'] as const
const words = (text: string): string => expect.stringContaining(text) as string

test.for(WAYS)('%s: a dump tells of its container what a restore goes by', async (way) => {
  const {archive, error} = await dumped(way, {})
  expect(error).toBeUndefined()
  expect(archive).toMatchObject({
    container: 'smoke',
    image: 'clouder.dev/smoke:1',
    imageDigest: IMAGE_REF,
    deleted: [],
    contents: {imageBytes: PAGES.length, filesBytes: 7},
  })
  expect(archive?.spec.process.oomScoreAdj).toBe(1000)
  expect(archive?.spec.linux.maskedPaths).toEqual(['/proc/kcore'])
})

test.for(
  WAYS.flatMap((way) =>
    (
      [
        ['is not there any more', {all: {body: Buffer.alloc(0)}}, 'no longer exists on this node'],
        [
          'is of another pod of that name',
          {labels: {...LABELS, 'io.kubernetes.pod.uid': 'uid-2'}},
          'no longer exists on this node',
        ],
        [
          'is another one of its pod',
          {labels: {...LABELS, 'io.kubernetes.container.name': 'side'}},
          'no longer exists on this node',
        ],
        [
          'is of another namespace',
          {labels: {...LABELS, 'io.kubernetes.pod.namespace': 'x'}},
          'no longer exists on this node',
        ],
        ['has ended', {state: 2}, 'is no longer running'],
      ] satisfies [string, Runtime, string][]
    ).map(([what, runtime, said]) => [way, what, runtime, said] as const),
  ),
)('%s: nothing is dumped when the container %s', async ([way, , runtime, said]) => {
  const {error, called} = await dumped(way, runtime)
  expect(error).toMatchObject({code: 'CHECKPOINT_FAILED', message: words(said)})
  expect(called).toEqual([])
})

test.for(WAYS)('%s: what CRIU says is in the error, and the container runs on', async (way) => {
  const said = 'criu failed path= /run/containerd/x/criu-dump.log'
  const {error, called} = await dumped(way, {dump: {status: 2, message: said}})
  expect(error).toMatchObject({code: 'CHECKPOINT_FAILED', message: words(said)})
  expect(called).toEqual(way === 'Direct' ? ['Pause', 'Checkpoint', 'Resume'] : ['CheckpointContainer'])
})

test.for(WAYS)('%s: a runtime that starts is waited for, one that dies in the dump is not', async (way) => {
  const starts = await dumped(way, {all: {status: 14, message: 'server is not initialized yet'}})
  expect(starts.error).toMatchObject({code: 'API_UNREACHABLE', message: words('not initialized yet')})
  expect((await dumped(way, {dump: 'breaks off'})).error).toMatchObject({code: 'CHECKPOINT_FAILED'})
})

test.for(WAYS)('%s: a dump that is not wanted any more is cancelled', async (way) => {
  const stop = AbortSignal.timeout(200)
  const {error, called} = await dumped(way, {dump: 'never'}, {stop})
  expect(error).toBe(stop.reason)
  if (way === 'Direct') expect(called).toEqual(['Pause', 'Checkpoint', 'Resume'])
})

test('a pod is frozen before its container is resumed, and not when it is to run on', async () => {
  expect(await dumped('Direct', {}, {freezePod: true})).toMatchObject({
    called: ['Pause', 'Checkpoint', 'Resume'],
    frozenAtResume: '1',
  })
  expect((await dumped('Direct', {})).frozenAtResume).toBeUndefined()
})

test('a dump whose memory stays is frozen by its container too, and fails when nobody holds the processes', async () => {
  const run = () => Promise.resolve()
  const held = await dumped('Direct', {}, {freezePod: true, lazy: {run, isTraced: true}})
  expect(held).toMatchObject({error: undefined, called: ['Pause', 'Resume'], frozenAtResume: '1'})
  const lost = await dumped('Direct', {}, {freezePod: true, lazy: {run, isTraced: false}})
  expect(lost.error).toMatchObject({code: 'CHECKPOINT_FAILED', message: words('page server')})
  const failing = () => Promise.reject(new CheckpointError('CHECKPOINT_FAILED', 'criu failed'))
  const failed = await dumped('Direct', {}, {freezePod: true, lazy: {run: failing, isTraced: true}})
  // Without rounds it could only fail again.
  expect(failed.error).not.toBeInstanceOf(PreCopiedDumpError)
  expect(failed).toMatchObject({error: {message: words('criu failed')}, called: ['Pause', 'Resume']})
})

test('a container that cannot be paused is not dumped, nor resumed', async () => {
  const said = 'OCI runtime pause failed: unable to freeze'
  const {error, called} = await dumped('Direct', {pause: {status: 2, message: said}})
  expect(error).toMatchObject({code: 'CHECKPOINT_FAILED', message: words(said)})
  expect(called).toEqual(['Pause'])
})

test.for([
  ['has no such service', {status: 12, message: 'unknown service'}, false],
  ['knows no such task', {status: 5, message: 'container "clouder-probe": not found'}, true],
] as const)('a runtime that %s: its tasks are served: %s', async ([, answer, served]) => {
  await withTempFolder(async (folder) => {
    const socket = join(folder, 'runtime.sock')
    await using _server = await serveRuntime(socket, () => answer)
    expect(await containerdTasks(socket).isServed(signal)).toBe(served)
  })
})

test('an image of a direct dump has what the kubelet and the runtime know a container by', async () => {
  await withTempFolder(async (folder) => {
    const socket = join(folder, 'runtime.sock')
    await using _server = await serveRuntime(socket, (_request, path) =>
      Promise.resolve(described(path.replace(/^.*\//, ''), {})),
    )
    const facts = await readContainer(socket, TARGET, signal)
    expect(JSON.parse(facts['status.dump'])).toMatchObject({
      metadata: {name: 'smoke'},
      image: {image: 'clouder.dev/smoke:1', user_specified_image: 'clouder.dev/smoke:1'},
      image_ref: IMAGE_REF,
      labels: LABELS,
      annotations: ANNOTATIONS,
    })
  })
})
