import {mkdir, rm, writeFile} from 'node:fs/promises'
import {dirname, join} from 'node:path'
import {API_VERSION, SYSTEM_NAMESPACE} from '../../src/api/names.ts'
import {parentLinks, roundName} from '../../src/checkpoint/archive/pre-copy.ts'
import {podTemplateOf, templatedPodSchema} from '../../src/checkpoint/pod-template.ts'
import {pieceCipher} from '../../src/checkpoint/sealed/pieces.ts'
import type {BlobStore} from '../../src/checkpoint/stores/blob-store.ts'
import type {Patience} from '../../src/base/waiting.ts'
import {diskArchives, type Archives} from '../../src/programs/node-agent/archives.ts'
import type {Cgroups} from '../../src/programs/node-agent/cgroups.ts'
import type {ContainerCheckpoint} from '../../src/programs/node-agent/container-checkpoint.ts'
import type {ExecResult} from '../../src/programs/node-agent/container-exec.ts'
import type {DirectDump} from '../../src/programs/node-agent/direct-dump.ts'
import type {DumpWay} from '../../src/programs/node-agent/dump-place.ts'
import type {DumpWatcher} from '../../src/programs/node-agent/freeze.ts'
import {kubeletArchives} from '../../src/programs/node-agent/former-archives.ts'
import {inspectArchive} from '../../src/programs/node-agent/inspect.ts'
import {parsePod, podRef} from '../../src/kubernetes/pod.ts'
import {incomingPages} from '../../src/programs/node-agent/lazy/incoming-pages.ts'
import type {PageServers} from '../../src/programs/node-agent/lazy/page-servers.ts'
import {PodLocks} from '../../src/programs/node-agent/pod-locks.ts'
import {incomingDumps} from '../../src/programs/node-agent/transfer/incoming.ts'
import {outgoingDumps, withOutgoing} from '../../src/programs/node-agent/transfer/outgoing.ts'
import {dumpPulls} from '../../src/programs/node-agent/transfer/pull.ts'
import {sealsAhead, withSealsAhead} from '../../src/programs/node-agent/seal-ahead.ts'
import {clusterStores} from '../../src/programs/node-agent/stores.ts'
import type {Runc} from '../../src/programs/node-agent/runc.ts'
import type {AgentTools} from '../../src/programs/node-agent/tools.ts'
import type {DumpSize, FileSize} from '../../src/programs/node-agent/upper-layer.ts'
import type {PodVolume} from '../../src/programs/node-agent/volumes.ts'
import type {Rlimits} from '../../src/checkpoint/archive/rlimits.ts'
import {noPageServers} from './page-servers.ts'
import {FakeKube} from './fake-kube.ts'
import {MEMBERS, tarOf} from './kubelet-archive.ts'
import {TrackedMemory, trackedRunc} from './tracked-memory.ts'
import {memoryBlobs, type MemoryBlobs} from './memory-blobs.ts'
import {metadataOf} from './sealed-checkpoint.ts'

export const NODE = 'worker-1'
export const POD = {namespace: 'default', name: 'web'}

/** Of a pod's processes: what their freezers are set to, and how they ended. */
export interface Processes {
  podFrozen: boolean
  readonly heldContainers: Set<string>
  alive: boolean
  /** It ran on between its dump and its end, or its thaw. */
  ranAfterDump: boolean
  dumped: boolean
}

export class Died extends Error {}

/** A life that ends right after its n-th side effect: from then on nothing works for whoever lives it. */
export class Life {
  readonly effects: string[] = []
  readonly #endsAfter: number
  #over = false

  constructor(endsAfter = Number.POSITIVE_INFINITY) {
    this.#endsAfter = endsAfter
  }

  get over(): boolean {
    return this.#over
  }

  /** The same, lived by this one; methods that are named are its side effects. */
  of<T extends object>(label: string, target: T, effects: readonly (keyof T & string)[]): T {
    return new Proxy(target, {
      get: (_, name) => {
        const value: unknown = Reflect.get(target, name)
        if (typeof value !== 'function') return value
        return (...parameters: unknown[]) => {
          if (this.#over) throw new Died(`${label}.${String(name)} after the end`)
          const result: unknown = Reflect.apply(value, target, parameters)
          return effects.some((effect) => effect === name)
            ? this.#after(`${label}.${String(name)}`, result)
            : result
        }
      },
    })
  }

  async #after(effect: string, result: unknown): Promise<unknown> {
    const value = await result
    this.effects.push(effect)
    if (this.#over || this.effects.length >= this.#endsAfter) {
      this.#over = true
      throw new Died(`after ${effect}`)
    }
    return value
  }
}

/** A node with one pod: its API server, its runtime and its kernel, which outlive every agent. */
export class FakeNode {
  readonly kube = new FakeKube({kubelets: true})
  readonly blobs: MemoryBlobs = memoryBlobs()
  readonly processes: Processes = {
    podFrozen: false,
    heldContainers: new Set(),
    alive: true,
    ranAfterDump: false,
    dumped: false,
  }
  /** Dumps of the pod that were under way at the same time. */
  mostDumpsAtOnce = 0
  /** With which the store was opened last. */
  patience: Patience | undefined
  /** What a dump of the pod takes. */
  dumpSize: DumpSize = {
    fileBytes: 0,
    holeBytes: 0,
    sparsest: '',
    memoryBytes: 0,
    freeBytes: 2 ** 40,
    upper: '/upper',
  }
  dumpWay: DumpWay = 'Runtime'
  /** Volumes of the pod, and what each has in it. */
  volumes: readonly PodVolume[] = []
  volumeSize: FileSize = {fileBytes: 0, holeBytes: 0, sparsest: ''}
  /** What dumps may take of its memory. */
  memoryBytes = 0
  pageServers: PageServers = noPageServers
  memoryIsFull = false
  /** What a node that a dump is sent to has room for; undefined: it does not connect. */
  targetRoomBytes: number | undefined = 2 ** 40
  /** Of the pod, where the kernel tracks what is written to it. */
  memory: TrackedMemory | undefined
  /** Is called ahead of each dump that runc makes of that memory. */
  beforeRunc: (kind: string, round: number) => void = () => undefined
  /** Is waited for when all of a dump to a folder is written, before the runtime says so. */
  whenWritten: () => Promise<void> = () => Promise.resolve()
  /** Set: the runtime answers this in place of a checkpoint. */
  dumpProblem: Error | undefined
  /** Of the runtime's archives, besides what every one has. */
  members: Readonly<Record<string, string | Uint8Array>> = {}
  readonly folder: string
  /** Of a dump, in memory or on the disk. */
  readonly archives: Archives
  readonly #containers: readonly string[]
  #dumping = 0

  constructor(folder: string, containers: readonly string[] = ['smoke']) {
    this.folder = folder
    this.archives = diskArchives(folder, {memory: join(folder, 'memory')})
    this.#containers = containers
    for (const name of [SYSTEM_NAMESPACE])
      this.kube.put({apiVersion: 'v1', kind: 'Namespace', metadata: {name}})
    this.kube.put({
      apiVersion: API_VERSION,
      kind: 'CheckpointStore',
      metadata: {name: 'default'},
      spec: {node: {}},
    })
    this.kube.put({
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name: POD.name, namespace: POD.namespace, labels: {app: 'web'}},
      spec: {nodeName: NODE, containers: containers.map((name) => ({name, image: 'clouder.dev/smoke:1'}))},
      status: {
        phase: 'Running',
        containerStatuses: containers.map((name) => ({
          name,
          containerID: `containerd://id-of-${name}`,
          state: {running: {}},
        })),
      },
    })
  }

  get runs(): boolean {
    const {alive, podFrozen, heldContainers} = this.processes
    return alive && !podFrozen && heldContainers.size === 0
  }

  /** Hard limits that the runtime gives. */
  limits: Rlimits = new Map()

  /** A Checkpoint, as the controller gives it to the node of its pod. */
  ask(name: string, spec: Record<string, unknown>): void {
    const wanted = {podRef: {name: POD.name}, storeName: 'default', podPolicy: 'Resume', ...spec}
    const pod = this.kube.peek('v1', 'Pod').find(({metadata}) => metadata.name === wanted.podRef.name)
    const given =
      pod === undefined
        ? {}
        : {
            status: {
              phase: 'Pending',
              ...(spec['podPolicy'] === 'Delete' ? {admitted: true} : {}),
              nodeName: parsePod(pod).spec.nodeName,
              podUID: pod.metadata.uid,
              podTemplate: podTemplateOf(templatedPodSchema.parse(pod)),
            },
          }
    this.kube.put({
      apiVersion: API_VERSION,
      kind: 'Checkpoint',
      metadata: {name, namespace: POD.namespace},
      spec: wanted,
      ...given,
    })
  }

  tools(life: Life, signal: AbortSignal): AgentTools {
    const blobs: BlobStore = life.of('blobs', this.blobs, ['put', 'putManifest', 'removeManifest'])
    const kube = life.of('kube', this.kube, ['create', 'delete', 'patch'])
    const outgoing = {
      ...outgoingDumps(join(this.folder, 'outgoing'), this.archives),
      roomOf: () => Promise.resolve(this.targetRoomBytes),
    }
    const incoming = incomingDumps({
      disk: {folder: join(this.folder, 'incoming'), roomBytes: () => Promise.resolve(2 ** 40)},
      start: () => Promise.reject(new Error('this node is alone')),
      log: () => undefined,
    })
    const stores = clusterStores({
      kube,
      node: NODE,
      openBlobs: (_spec, _credentials, patience) => {
        this.patience = patience
        return Promise.resolve(blobs)
      },
      openPeer: () => Promise.resolve(blobs),
    })
    const ahead = sealsAhead({
      stores,
      ciphers: pieceCipher,
      dumps: this.archives,
      log: () => undefined,
      signal,
    })
    const openDump = () => Promise.reject(new Error('this node is alone'))
    return {
      outgoing,
      incoming,
      pulls: dumpPulls({node: NODE, kube, incoming, openDump, now: Date.now, log: () => undefined, signal}),
      node: NODE,
      kube,
      podLocks: new PodLocks(),
      checkpoint: life.of('runtime', {checkpoint: this.#checkpoint()}, ['checkpoint']).checkpoint,
      runc: this.#runc(life),
      directDump: life.of('runtime', {directDump: this.#directDump()}, ['directDump']).directDump,
      dumpWay: () => Promise.resolve(this.dumpWay),
      memory: {
        roomBytes: () => Promise.resolve(this.memoryBytes),
        reserve: (bytes) => Promise.resolve(bytes <= this.memoryBytes ? () => undefined : undefined),
        isFull: () => Promise.resolve(this.memoryIsFull),
      },
      pageServers: this.pageServers,
      incomingPages: incomingPages(this.folder, () => undefined),
      openPages: () => Promise.reject(new Error('this node is alone')),
      shims: {isPaused: () => Promise.resolve(false), resume: () => Promise.resolve()},
      cgroups: life.of('cgroups', this.#cgroups(), ['holdContainer', 'thaw', 'kill']),
      exec: life.of('runtime', {exec: () => this.#exec()}, ['exec']).exec,
      watchDump: this.#watchDump(),
      measure: () => Promise.resolve(this.dumpSize),
      volumes: {
        limitBytes: 4 * 1024 ** 3,
        find: () => Promise.resolve(this.volumes),
        measure: () => Promise.resolve(this.volumeSize),
        pack: (volume, path) => writeFile(path, `tar of ${volume.path}`, {flag: 'wx'}),
      },
      dumps: {during: (dump) => dump(), clean: () => Promise.resolve()},
      archives: life.of('archives', withSealsAhead(withOutgoing(this.archives, outgoing), ahead), [
        'begin',
        'beginFolder',
        'claim',
        'remove',
      ]),
      ahead,
      formerArchives: kubeletArchives(this.folder),
      stores,
      ciphers: pieceCipher,
      nodeFeatures: () => Promise.resolve({...metadataOf([]).source, precopy: this.memory !== undefined}),
      inspect: inspectArchive,
      explain: () => Promise.resolve(undefined),
      importImage: () => Promise.resolve(),
      removeImage: () => Promise.resolve(),
      listImages: () => Promise.resolve([]),
      imageDigests: () => Promise.resolve([]),
      limits: {
        ofSandbox: () => Promise.resolve(this.limits),
        own: () => Promise.resolve(this.limits),
      },
      freeBytes: () => Promise.resolve(2 ** 40),
      metrics: {checkpointed: () => undefined, dumped: () => undefined},
      now: Date.now,
      log: () => undefined,
      signal,
    }
  }

  #exec(): Promise<ExecResult> {
    return Promise.resolve({exitCode: 0, stdout: '', stderr: ''})
  }

  #checkpoint(): ContainerCheckpoint {
    return async ({container}, path) => {
      if (this.dumpProblem !== undefined) throw this.dumpProblem
      this.mostDumpsAtOnce = Math.max(this.mostDumpsAtOnce, ++this.#dumping)
      const status = JSON.stringify({metadata: {name: container}})
      const archive = await tarOf({...MEMBERS, 'status.dump': status, ...this.members})
      // containerd would write over what is there, and leave the end of it.
      await writeFile(path, archive, {mode: 0o600, flag: 'wx'})
      this.processes.dumped = true
      this.#dumping--
    }
  }

  /** As the runtime's archive has it, file by file. */
  #directDump(): DirectDump {
    return async ({container}, folder, {freezePod, rounds = 0, alongside}, signal) => {
      if (this.dumpProblem !== undefined) throw this.dumpProblem
      this.mostDumpsAtOnce = Math.max(this.mostDumpsAtOnce, ++this.#dumping)
      const status = JSON.stringify({metadata: {name: container}})
      for (const [name, content] of Object.entries({...MEMBERS, 'status.dump': status, ...this.members})) {
        await mkdir(dirname(join(folder, name)), {recursive: true})
        await writeFile(join(folder, name), content, {mode: 0o600, flag: 'wx'})
      }
      const images = join(folder, 'checkpoint')
      if (this.memory !== undefined) {
        await mkdir(images, {recursive: true})
        if (rounds > 0) this.beforeRunc('dump', rounds + 1)
        await this.memory.dump(images, rounds === 0 ? undefined : roundName(rounds))
        for (const {path} of parentLinks(rounds)) await rm(join(images, path))
        await rm(join(folder, 'work'), {recursive: true, force: true})
      }
      await alongside?.(signal)
      this.processes.podFrozen = true
      await this.whenWritten()
      this.processes.dumped = true
      this.processes.podFrozen = freezePod
      this.#dumping--
      return {frozenAtMs: Date.parse('2026-11-21T09:00:00.123Z'), frozenMs: 12, gapMs: undefined}
    }
  }

  #runc(life: Life): Runc {
    const runc = trackedRunc(this.memory ?? new TrackedMemory(), (...dump) => this.beforeRunc(...dump))
    return {
      prepare: async (...words) => life.of('runc', await runc.prepare(...words), ['run']),
    }
  }

  /** containerd resumes the container after its dump; the pod that was frozen meanwhile stays so. */
  #watchDump(): DumpWatcher {
    return async (_cgroup, {freezePod}, dump) => {
      const answer = await dump().finally(() => (this.processes.podFrozen = freezePod))
      return {answer, seen: {dumped: true, frozenMs: 12, podFrozen: freezePod, gapMs: undefined}}
    }
  }

  #cgroups(): Cgroups {
    const {processes} = this
    return {
      version: 1,
      find: (_, containerId) => {
        const index = this.#containers.findIndex((name) => containerId === `id-of-${name}`)
        if (!processes.alive || index < 0) return Promise.resolve(undefined)
        return Promise.resolve({version: 1, pod: '/pod', container: `/pod/${containerId}`, pid: 100 + index})
      },
      containers: () => Promise.resolve([]),
      isTraced: () => Promise.resolve(false),
      freezePod: async () => {
        processes.podFrozen = true
        return Promise.resolve({gap: false})
      },
      holdContainer: async ({container}) => {
        processes.heldContainers.add(container)
        processes.podFrozen = false
        await Promise.resolve()
      },
      isFrozen: () => Promise.resolve(processes.podFrozen || processes.heldContainers.size > 0),
      thaw: async () => {
        processes.podFrozen = false
        processes.heldContainers.clear()
        if (processes.alive && processes.dumped) processes.ranAfterDump = true
        await Promise.resolve()
      },
      kill: async () => {
        processes.alive = false
        processes.podFrozen = false
        processes.heldContainers.clear()
        // Its kubelet sees that nothing is left of it.
        await this.kube.delete(podRef(POD.namespace, POD.name), {graceSeconds: 0})
      },
      isTerminating: async () => {
        const pod = await this.kube.get(podRef(POD.namespace, POD.name))
        return pod === undefined || pod.metadata.deletionTimestamp !== undefined
      },
    }
  }
}
