import {
  API_VERSION,
  BACKEND_LABELS,
  CHECKPOINT_FINALIZER,
  MIGRATION_LABEL,
  NODE_FEATURES_ANNOTATION,
  RESTORE_ANNOTATION,
  ROLLED_BACK_ANNOTATION,
  THAW_ANNOTATION,
} from '../../src/api/names.ts'
import type {z} from 'zod'
import {nodeSchema, podSchema, type Pod} from '../../src/kubernetes/pod.ts'
import {
  checkpointSchema,
  migrationSchema,
  type Checkpoint,
  type Migration,
  type Obstacle,
} from '../../src/api/resources.ts'
import type {NodeFeatures} from '../../src/api/sealed-checkpoint.ts'
import {isHeldByMove, moveWith} from '../../src/checkpoint/moves.ts'
import {matchesTerms, nodeTermsSchema} from '../../src/programs/controller/placement.ts'
import type {KubeObject} from '../../src/kubernetes/types.ts'
import type {FakeKube} from './fake-kube.ts'
import {mergePatch} from './fake-kube-json.ts'

export const NODE_FEATURES: NodeFeatures = {
  arch: 'amd64',
  kernel: '6.18.0',
  criu: '4.2',
  runtime: 'containerd 2.3.7',
  runc: '1.4.3',
  cgroupVersion: 2,
  cpuFeatures: ['avx2', 'sse2'],
  cpuModel: 'Simulated',
}

/** What an agent reports of rounds of pre-copy. */
type PreCopied = NonNullable<NonNullable<Checkpoint['status']>['preCopy']>

/** In these phases the dump is there. */
const HOLDING: readonly unknown[] = ['Dumped', 'Storing', 'Ready']

/** As long as memory takes that comes after a pod. */
const PAGES_MS = 5000

/** Reads an object once: those of a FakeKube never change, they are replaced. */
function reader<Schema extends z.ZodType>(schema: Schema): (object: KubeObject) => z.output<Schema> {
  const known = new WeakMap<KubeObject, {readonly read: z.output<Schema>}>()
  return (object) => {
    const {read} = known.get(object) ?? {read: schema.parse(object)}
    known.set(object, {read})
    return read
  }
}

const readCheckpoint = reader(checkpointSchema)
const readMigration = reader(migrationSchema)
const readPod = reader(podSchema)
const readNode = reader(nodeSchema)

/** What agents, kubelets and the scheduler do, one step of each per `tick`, and what processes hold in memory. */
export class SimulatedNodes {
  /** Nodes whose pods fail to go on, with what the runtime says. */
  readonly refusals = new Map<string, string>()
  /** Nodes whose agents say that they cannot take a pod, and why. */
  readonly unfit = new Map<string, string>()
  /** Nodes whose pods run and are never ready. */
  readonly unready = new Set<string>()
  /** Nodes where deleted pods run on for some seconds. */
  readonly slow = new Set<string>()
  /** Nodes that lack images, and which. */
  readonly lacking = new Map<string, readonly string[]>()
  /** Nodes that are off: nothing happens there. */
  readonly dead = new Set<string>()
  /** Nodes to which a dump that is sent never comes through. */
  readonly unreachable = new Set<string>()
  /** Names of pods whose dump cannot be sent, and is stored. */
  readonly unsendable = new Set<string>()
  /** Names of pods whose dump fails. */
  readonly undumpable = new Set<string>()
  /** Nodes whose kubelets report late that a pod runs, and how late in milliseconds; their agents report it at once. */
  readonly relistMs = new Map<string, number>()
  /** How far the clocks of nodes are ahead, in milliseconds. */
  readonly skewMs = new Map<string, number>()
  /** Nodes whose restored processes end before their kubelet has reported that they run. */
  readonly dying = new Set<string>()
  /** Nodes without room for a dump that is sent to them, which is found out before anything is frozen. */
  readonly full = new Set<string>()
  /** By pod: what agents report of its memory that is copied before the dump, one after the other. */
  readonly copies = new Map<string, readonly PreCopied[]>()
  /** Nodes where the memory that comes after a pod does not all arrive, or that cannot start such a pod; others get it all. */
  readonly pages = new Map<string, 'Lost' | 'NotStarted'>()
  /** By pod: what agents say that a restore may not find. */
  readonly obstacles = new Map<string, readonly Obstacle[]>()
  readonly #kube: FakeKube
  readonly #now: () => number
  readonly #memory = new Map<string, string>()
  readonly #stored = new Map<string, string>()
  readonly #frozen = new Set<string>()
  /** By uid of a pod: when its processes came to run. */
  readonly #started = new Map<string, number>()
  /** `<node> <uid of the Checkpoint>`: dumps that were sent there. */
  readonly #received = new Set<string>()

  constructor(kube: FakeKube, now: () => number) {
    this.#kube = kube
    this.#now = now
  }

  addNode(name: string, more: Partial<NodeFeatures> = {}, spec: object = {}): void {
    this.#kube.put({
      apiVersion: 'v1',
      kind: 'Node',
      metadata: {
        name,
        labels: {'kubernetes.io/hostname': name, [BACKEND_LABELS.Handler]: 'true'},
        annotations: {[NODE_FEATURES_ANNOTATION]: JSON.stringify({...NODE_FEATURES, ...more})},
      },
      spec,
      status: {
        conditions: [{type: 'Ready', status: 'True', lastTransitionTime: this.#time()}],
        allocatable: {cpu: '4', memory: '8Gi', pods: '110'},
      },
    })
  }

  /** Puts a pod there that runs, with something in its memory. */
  runPod(name: string, node: string, memory: string, more: {metadata?: object; spec?: object} = {}): Pod {
    const pod: KubeObject = {
      apiVersion: 'v1',
      kind: 'Pod',
      metadata: {name, namespace: 'default', ...more.metadata},
      spec: {nodeName: node, containers: [{name: 'main', image: 'app:1'}], ...more.spec},
      status: this.#running(['main']),
    }
    this.#kube.put(pod)
    const made = this.#pods().find(({metadata}) => metadata.name === name)
    if (made === undefined) throw new Error(`pod ${name} was not made`)
    this.#memory.set(made.metadata.uid, memory)
    return made
  }

  /** What a pod holds in memory; undefined: there is no such pod, or it has not begun. */
  memoryOf(name: string): string | undefined {
    const pod = this.#pods().find(({metadata}) => metadata.name === name)
    return pod === undefined ? undefined : this.#memory.get(pod.metadata.uid)
  }

  /** Names of pods that run with this memory, and do not stand still. */
  runningWith(memory: string): readonly string[] {
    return this.#pods()
      .filter(
        ({metadata: {uid}, status}) =>
          this.#memory.get(uid) === memory &&
          !this.#frozen.has(uid) &&
          (status.phase === 'Running' || this.#started.has(uid)),
      )
      .map(({metadata}) => metadata.name)
  }

  /** Whether a pod, even one that stands still, or a Checkpoint, stored or on its node, still has this memory. */
  isHeld(memory: string): boolean {
    const inPod = this.#pods().some(({metadata}) => this.#memory.get(metadata.uid) === memory)
    return (
      inPod ||
      this.#checkpoints().some(
        ({metadata, status}) =>
          HOLDING.includes(status?.phase) && this.#stored.get(metadata.uid ?? '') === memory,
      )
    )
  }

  /** One step of everything; whether something changed. */
  tick(): boolean {
    const steps = [
      ...this.#migrations().map((migration) => this.#admit(migration)),
      ...this.#migrations().map((migration) => this.#followPages(migration)),
      ...this.#checkpoints().map((checkpoint) => this.#agent(checkpoint)),
      ...this.#pods().map((pod) => this.#kubelet(pod)),
    ]
    return steps.includes(true)
  }

  /** Says for the target of a move which images it lacks, and later whether it can take the pod. */
  #admit({metadata, status = {}}: Migration): boolean {
    const {targetNodeName = '', targetAnswer, missingImages, phase} = status
    if (
      phase === 'Pending' &&
      missingImages === undefined &&
      targetNodeName !== '' &&
      !this.dead.has(targetNodeName)
    )
      return this.#setStatus('Migration', metadata, {missingImages: this.lacking.get(targetNodeName) ?? []})
    if (
      phase !== 'Preparing' ||
      targetNodeName === '' ||
      targetAnswer !== undefined ||
      this.dead.has(targetNodeName)
    )
      return false
    if (status.way === 'Direct' && !this.#receive(metadata, status)) return false
    const unfit = this.unfit.get(targetNodeName)
    const answer =
      unfit === undefined
        ? {ok: true, message: 'it can'}
        : {ok: false, reason: 'IMAGE_UNAVAILABLE', message: unfit}
    return this.#setStatus('Migration', metadata, {targetAnswer: answer})
  }

  /** What the target of a direct move has of the dump; whether that is all. */
  #receive(
    {namespace}: {namespace?: string | undefined},
    {checkpointName, targetNodeName = ''}: NonNullable<Migration['status']>,
  ): boolean {
    const sent = this.#checkpoints().find(
      ({metadata}) => metadata.name === checkpointName && metadata.namespace === namespace,
    )
    if (sent?.status?.phase !== 'Dumped' || this.unreachable.has(targetNodeName)) return false
    if (this.dead.has(sent.status.nodeName ?? '')) return false
    this.#received.add(`${targetNodeName} ${sent.metadata.uid ?? ''}`)
    return true
  }

  /** Reports what came of the memory of a pod that runs already. */
  #followPages({metadata, status = {}}: Migration): boolean {
    const {targetNodeName = '', newPodName, transfer} = status
    const pod = this.#pods().find((one) => one.metadata.name === newPodName)
    if (transfer?.pages?.state !== 'Starting' || this.dead.has(targetNodeName)) return false
    if (pod?.metadata.uid === undefined || !this.#memory.has(pod.metadata.uid)) return false
    if (this.#now() - (this.#started.get(pod.metadata.uid) ?? this.#now()) < PAGES_MS) return false
    if (this.pages.get(targetNodeName) !== 'Lost')
      return this.#setStatus('Migration', metadata, {
        transfer: {receivedBytes: 0, pages: {state: 'Complete'}},
      })
    this.#die(pod)
    return this.#setStatus('Migration', metadata, {
      transfer: {receivedBytes: 0, pages: {state: 'Lost', message: 'the connection broke'}},
    })
  }

  /** What the agent answers for a pod whose memory comes afterwards, which it notes before. */
  #answerLazy({metadata, spec}: Pod): 'starts' | 'waits' | 'refused' {
    const move = this.#migrations().find((one) => one.metadata.name === metadata.labels[MIGRATION_LABEL])
    const {state} = move?.status?.transfer?.pages ?? {}
    if (move === undefined || (state !== undefined && state !== 'Starting')) return 'refused'
    const cannot = this.pages.get(spec.nodeName ?? '') === 'NotStarted'
    if (state === 'Starting' && !cannot) return 'starts'
    const next = state === undefined ? 'Starting' : 'NotStarted'
    this.#setStatus('Migration', move.metadata, {
      transfer: {receivedBytes: 0, pages: {state: next}},
    })
    return 'waits'
  }

  /** What the agent of a node answers for a pod that goes on from a checkpoint of a direct move. */
  #answer({metadata, spec}: Pod, checkpoint: Checkpoint): 'starts' | 'waits' | 'refused' {
    const {status} = checkpoint
    const isStored = status?.phase === 'Ready'
    if (checkpoint.spec.transfer === undefined) return isStored ? 'starts' : 'refused'
    const move = this.#migrations().find((one) => one.metadata.name === metadata.labels[MIGRATION_LABEL])
    const {phase, newPodName} = move?.status ?? {}
    const isBack = metadata.annotations[ROLLED_BACK_ANNOTATION] === 'true'
    const isEarly = !isBack && newPodName !== move?.spec.podName
    if (isEarly && checkpoint.metadata.deletionTimestamp !== undefined) return 'refused'
    if (isStored && newPodName !== metadata.name) return 'starts'
    if (!isBack && !['Moving', 'Verifying', 'Succeeded'].includes(phase ?? '')) return 'waits'
    if (isStored) return 'starts'
    const has = `${spec.nodeName ?? ''} ${checkpoint.metadata.uid ?? ''}`
    const isThere = status?.nodeName === spec.nodeName || this.#received.has(has)
    return isThere && status?.phase === 'Dumped' ? 'starts' : 'refused'
  }

  #agent(checkpoint: Checkpoint): boolean {
    const {spec, status = {}, metadata} = checkpoint
    const pod = this.#pods().find(
      (one) => one.metadata.name === spec.podRef?.name && one.metadata.namespace === metadata.namespace,
    )
    const isSame = pod !== undefined && (spec.podRef?.uid ?? pod.metadata.uid) === pod.metadata.uid
    const node = status.nodeName ?? pod?.spec.nodeName
    if (node === undefined || this.dead.has(node)) return false
    if (metadata.deletionTimestamp !== undefined) {
      const move = moveWith(metadata.name, this.#kube.peek(API_VERSION, 'Migration'))
      if (isHeldByMove(move)) return status.frozen === true && this.#endFreeze(checkpoint)
      if (status.frozen === true) return this.#undo(checkpoint)
      return this.#forgetStored(checkpoint)
    }
    const set = (next: object): true => this.#setStatus('Checkpoint', metadata, next)
    switch (status.phase ?? 'Pending') {
      case 'Pending':
        // The controller gives it to a node first, and says whether the pod would be taken again.
        if (!isSame || status.podUID !== pod.metadata.uid) return false
        if (spec.podPolicy === 'Delete' && status.admitted !== true) return false
        return set({
          phase: 'Dumping',
          nodeFeatures: NODE_FEATURES,
          startTime: this.#time(),
        })
      case 'Dumping':
        return this.#dump(checkpoint, isSame ? pod : undefined)
      case 'Storing':
        return set({
          phase: 'Ready',
          digest: `sha256:${(metadata.uid ?? '').replaceAll('-', '').padEnd(64, '0')}`,
          storedBytes: 100,
          completionTime: this.#time(),
          obstacles: this.obstacles.get(spec.podRef?.name ?? ''),
        })
      case 'Dumped':
      case 'Ready':
      case 'Failed':
        return status.frozen === true && this.#endFreeze(checkpoint)
    }
  }

  #dump({metadata, spec}: Checkpoint, pod: Pod | undefined): boolean {
    if (pod === undefined || this.undumpable.has(pod.metadata.name)) {
      const reason = pod === undefined ? 'POD_NOT_FOUND' : 'CHECKPOINT_FAILED'
      return this.#setStatus('Checkpoint', metadata, {
        phase: 'Failed',
        reason,
        message: 'criu: no',
        frozen: false,
        completionTime: this.#time(),
      })
    }
    const target = spec.transfer?.nodeName ?? ''
    if (this.full.has(target))
      return this.#setStatus('Checkpoint', metadata, {
        ...{phase: 'Failed', reason: 'TOO_LARGE', message: `node ${target} has no room`, frozen: false},
        ...{refusedByNodeName: target, completionTime: this.#time()},
      })
    const {uid, name} = pod.metadata
    const [copied, ...more] = spec.transfer?.preCopy === true ? (this.copies.get(name) ?? []) : []
    if (copied !== undefined) {
      this.copies.set(name, more)
      return this.#setStatus('Checkpoint', metadata, {preCopy: copied})
    }
    this.#stored.set(metadata.uid ?? '', this.#memory.get(uid) ?? '')
    if (spec.podPolicy !== 'Resume') this.#frozen.add(uid)
    if (spec.transfer !== undefined && !this.unsendable.has(pod.metadata.name))
      return this.#setStatus('Checkpoint', metadata, {
        phase: 'Dumped',
        frozen: true,
        freezeTime: this.#time(),
        transfer: {digest: `sha256:${'d'.repeat(64)}`, sizeBytes: 1000},
        obstacles: this.obstacles.get(pod.metadata.name),
      })
    return this.#setStatus('Checkpoint', metadata, {
      phase: 'Storing',
      frozen: spec.podPolicy !== 'Resume',
    })
  }

  /** Takes away what is stored, and the finalizer that waits for that. */
  #forgetStored({metadata}: Checkpoint): boolean {
    if (metadata.finalizers?.includes(CHECKPOINT_FINALIZER) !== true) return false
    const object = this.#object('Checkpoint', metadata)
    this.#kube.put({...object, metadata: {...object.metadata, finalizers: []}})
    return true
  }

  /** Resumes the pod of a Checkpoint that is deleted, or ends it if it was deleted itself. */
  #undo({metadata, status = {}}: Checkpoint): boolean {
    const uid = status.podUID ?? ''
    const pod = this.#pods().find((one) => one.metadata.uid === uid)
    if (pod?.metadata.deletionTimestamp !== undefined) this.#end(pod)
    else this.#frozen.delete(uid)
    return this.#setStatus('Checkpoint', metadata, {frozen: false})
  }

  #endFreeze({metadata, spec, status = {}}: Checkpoint): boolean {
    const uid = status.podUID ?? ''
    const pod = this.#pods().find((one) => one.metadata.uid === uid)
    if (pod?.metadata.deletionTimestamp !== undefined || pod === undefined) {
      if (pod !== undefined) this.#end(pod)
    } else if (metadata.annotations?.[THAW_ANNOTATION] === 'true') this.#frozen.delete(uid)
    else if (spec.podPolicy === 'Delete' && status.phase === 'Ready') this.#end(pod)
    else return false
    return this.#setStatus('Checkpoint', metadata, {frozen: false})
  }

  #kubelet(pod: Pod): boolean {
    const {nodeName} = pod.spec
    const {uid} = pod.metadata
    if (nodeName === undefined) return this.#schedule(pod)
    if (this.dead.has(nodeName)) return false
    if (pod.metadata.deletionTimestamp !== undefined) {
      // One that stands still is ended by its agent.
      if (this.#frozen.has(uid)) return false
      const deletedMs = Date.parse(pod.metadata.deletionTimestamp)
      if (this.slow.has(nodeName) && this.#now() - deletedMs < 5000) return false
      this.#end(pod)
      return true
    }
    if (pod.status.phase === 'Running' || pod.status.phase === 'Failed') return false
    const from = pod.metadata.annotations[RESTORE_ANNOTATION]
    const refusal = this.refusals.get(nodeName)
    if (from !== undefined && refusal !== undefined) return this.#refuse(pod, refusal)
    const source = this.#checkpoints().find(
      ({metadata}) => metadata.name === from && metadata.namespace === pod.metadata.namespace,
    )
    const plain = source === undefined ? 'refused' : this.#answer(pod, source)
    const isLazy = plain === 'starts' && source?.spec.transfer?.lazy === true
    const answer = isLazy ? this.#answerLazy(pod) : plain
    if (answer === 'waits') return isLazy
    if (from !== undefined && answer === 'refused')
      return this.#refuse(pod, 'CHECKPOINT_UNKNOWN: there is none')
    const memory = source === undefined ? `fresh ${uid}` : this.#stored.get(source.metadata.uid ?? '')
    const lateMs = this.relistMs.get(nodeName)
    if (from !== undefined && lateMs !== undefined) {
      const startedMs = this.#started.get(uid)
      if (startedMs === undefined) return this.#startUnseen(pod, memory ?? '')
      if (this.#now() - startedMs < lateMs) return false
      if (this.dying.has(nodeName)) return this.#die(pod)
    }
    this.#memory.set(uid, memory ?? '')
    if (isLazy) this.#started.set(uid, this.#now())
    return this.#setStatus(
      'Pod',
      pod.metadata,
      this.#running(
        pod.spec.containers.map(({name}) => name),
        !this.unready.has(nodeName),
      ),
    )
  }

  /** Its processes run, which the agent reports to the Migration and the kubelet does not see yet. */
  #startUnseen({metadata, spec}: Pod, memory: string): boolean {
    this.#memory.set(metadata.uid, memory)
    this.#started.set(metadata.uid, this.#now())
    const move = this.#migrations().find((one) => one.metadata.name === metadata.labels[MIGRATION_LABEL])
    const {phase, newPodName} = move?.status ?? {}
    if (move === undefined || newPodName !== metadata.name || (phase !== 'Moving' && phase !== 'Verifying'))
      return true
    const runningMs = this.#now() + (this.skewMs.get(spec.nodeName ?? '') ?? 0)
    return this.#setStatus('Migration', move.metadata, {runningTime: new Date(runningMs).toISOString()})
  }

  #die({metadata, spec}: Pod): boolean {
    this.#memory.delete(metadata.uid)
    this.#started.delete(metadata.uid)
    const containerStatuses = spec.containers.map(({name}) => ({
      ...{name, ready: false, restartCount: 0, state: {terminated: {reason: 'Error', exitCode: 139}}},
    }))
    return this.#setStatus('Pod', metadata, {phase: 'Failed', containerStatuses})
  }

  #refuse(pod: Pod, message: string): boolean {
    const containerStatuses = pod.spec.containers.map(({name}) => ({
      name,
      ready: false,
      restartCount: 1,
      state: {waiting: {reason: 'RunContainerError', message}},
      lastState: {terminated: {reason: 'StartError', exitCode: 128, message}},
    }))
    if (pod.status.containerStatuses?.[0]?.state?.waiting?.message === message) return false
    return this.#setStatus('Pod', pod.metadata, {phase: 'Pending', containerStatuses})
  }

  #schedule(pod: Pod): boolean {
    const affinity = pod.spec['affinity'] as
      {nodeAffinity?: {requiredDuringSchedulingIgnoredDuringExecution?: unknown}} | undefined
    const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution
    const terms = required === undefined ? undefined : nodeTermsSchema.parse(required)
    const node = this.#nodes().find(
      (one) =>
        one.spec.unschedulable !== true &&
        !this.dead.has(one.metadata.name) &&
        (terms === undefined || matchesTerms(one, terms)),
    )
    if (node === undefined) return false
    const object = this.#object('Pod', pod.metadata)
    this.#kube.put({...object, spec: {...pod.spec, nodeName: node.metadata.name}})
    return true
  }

  #end(pod: Pod): void {
    this.#memory.delete(pod.metadata.uid)
    this.#started.delete(pod.metadata.uid)
    this.#frozen.delete(pod.metadata.uid)
    this.#kube.drop({
      apiVersion: 'v1',
      kind: 'Pod',
      name: pod.metadata.name,
      namespace: pod.metadata.namespace,
    })
  }

  #running(names: readonly string[], ready = true): object {
    return {
      phase: 'Running',
      conditions: [{type: 'Ready', status: ready ? 'True' : 'False'}],
      containerStatuses: names.map((name) => ({name, ready, restartCount: 0, state: {running: {}}})),
    }
  }

  #setStatus(
    kind: 'Checkpoint' | 'Migration' | 'Pod',
    metadata: {name: string; namespace?: string | undefined},
    next: object,
  ): true {
    const object = this.#object(kind, metadata)
    this.#kube.put({...object, status: mergePatch(object['status'] ?? {}, next)})
    return true
  }

  #object(
    kind: 'Checkpoint' | 'Migration' | 'Pod',
    {name, namespace}: {name: string; namespace?: string | undefined},
  ): KubeObject {
    const found = this.#kube
      .peek(kind === 'Pod' ? 'v1' : API_VERSION, kind)
      .find((object) => object.metadata.name === name && object.metadata.namespace === namespace)
    if (found === undefined) throw new Error(`there is no ${kind} ${name}`)
    return found
  }

  #checkpoints = (): readonly Checkpoint[] => this.#kube.peek(API_VERSION, 'Checkpoint').map(readCheckpoint)
  #migrations = (): readonly Migration[] => this.#kube.peek(API_VERSION, 'Migration').map(readMigration)
  #pods = (): readonly Pod[] => this.#kube.peek('v1', 'Pod').map(readPod)
  #nodes = () => this.#kube.peek('v1', 'Node').map(readNode)
  #time = (): string => new Date(this.#now()).toISOString()
}
