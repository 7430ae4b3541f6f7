import {API_VERSION, CHECKPOINT_IMAGE_PREFIX, RESTORE_ANNOTATION, RESTORE_RUNTIME} from '../../api/names.ts'
import {wordsOfProblem} from '../../base/readable.ts'
import {checkpointSchema, migrationSchema, restoreSchema} from '../../api/resources.ts'
import type {KubeObject, WatchEvent, WatchQuery} from '../../kubernetes/types.ts'
import {z} from 'zod'
import {admitMove, isToAdmit, isToLook, lookForImages} from './migration-target.ts'
import {ranAs} from './restore-decision.ts'
import {podRef, podSchema, type Pod} from '../../kubernetes/pod.ts'
import {removeFormer} from './former-archives.ts'
import type {Preparations} from './prepare.ts'
import type {Health} from '../../operator/health.ts'
import {WatchLiveness} from '../../operator/liveness.ts'
import {WorkQueue} from '../../operator/work-queue.ts'
import {checkpointImages, isForImages, makeImages, type CheckpointImages} from './create-image.ts'
import {parseCheckpoint, type Named} from './checkpoint-object.ts'
import {abandon, takeCheckpoint} from './checkpoint-reconciler.ts'
import type {AgentTools} from './tools.ts'
import {isStopped, wakePod} from './thaw.ts'

export interface Agent extends Health {
  /** Resolves when nothing is under way. */
  idle(): Promise<void>
  /** Resolves when the signal is aborted; rejects when a watch ends by itself: what is asked for would not be seen. */
  readonly watching: Promise<void>
}

/**
 * Watches the Checkpoints of the cluster and the pods of this node, and does what they ask for until the signal is
 * aborted. What an agent before it left undone is found in their statuses and on the disk.
 */
export function startAgent(tools: AgentTools, preparations: Preparations): Agent {
  const agent = new Watching(tools, preparations)
  return {
    idle: () => agent.idle(),
    watching: agent.watching,
    problem: () => agent.problem ?? agent.liveness.problem(),
    unready: () => agent.unready,
  }
}

class Watching {
  readonly #tools: AgentTools
  readonly #preparations: Preparations
  readonly watching: Promise<void>
  problem: string | undefined
  readonly liveness = new WatchLiveness()
  readonly #checkpoints = new Map<string, Named>()
  /** Checkpoints that the schema does not take: nothing is done for them, and nothing of theirs is removed. */
  readonly #unreadable = new Map<string, KubeObject>()
  readonly #pods = new Map<string, Pod>()
  readonly #taking: WorkQueue
  readonly #preparing: WorkQueue
  readonly #making: WorkQueue
  readonly #admitting: WorkQueue
  readonly #cleaning: WorkQueue
  readonly #images: CheckpointImages
  #unsynced = 2
  readonly #startedAtMs: number

  constructor(tools: AgentTools, preparations: Preparations) {
    this.#tools = tools
    this.#preparations = preparations
    this.#startedAtMs = tools.now()
    this.#images = checkpointImages(tools)
    const {kube, signal, node} = tools
    this.#taking = this.#queue((key) => takeCheckpoint(nameOf(key), tools))
    this.#preparing = this.#queue((uid) => this.#prepare(uid))
    this.#making = this.#queue((key) => this.#makeImages(key))
    this.#admitting = this.#queue((key) => this.#admit(key))
    this.#cleaning = this.#queue(() => this.#images.removeUnused(() => this.#pods.values()))
    const onSynced = (): void => {
      if (--this.#unsynced === 0) this.#background(this.#sweep())
    }
    this.watching = Promise.all([
      kube.watch(
        {apiVersion: API_VERSION, kind: 'Checkpoint', onSynced, ...this.#signs('Checkpoint')},
        (event) => this.#onCheckpoint(event),
        signal,
      ),
      this.#watch(
        {apiVersion: 'v1', kind: 'Pod', fieldSelector: `spec.nodeName=${node}`, onSynced},
        podSchema,
        (type, pod) => this.#onPod(type, pod),
      ),
      this.#watch({apiVersion: API_VERSION, kind: 'Restore'}, restoreSchema, (type, {metadata}, object) => {
        const {namespace = '', name} = metadata
        if (type !== 'DELETED' && isForImages(object, node)) this.#making.add(keyOf({namespace, name}))
        else if (leavesImages(type, object, node)) this.#cleaning.add(IMAGES)
      }),
      this.#watch(
        {apiVersion: API_VERSION, kind: 'Migration'},
        migrationSchema,
        (type, {metadata}, object) => {
          const {namespace = '', name} = metadata
          const isAsked = isToAdmit(object, node) || isToLook(object, node)
          if (type !== 'DELETED' && isAsked) this.#admitting.add(keyOf({namespace, name}))
          else if (leavesImages(type, object, node)) this.#cleaning.add(IMAGES)
        },
      ),
    ]).then(() => undefined)
    this.watching.catch((error: unknown) => {
      this.problem = `a watch ended: ${error instanceof Error ? error.message : String(error)}`
    })
  }

  /** At work until the signal is aborted. */
  #queue(work: (key: string) => Promise<void>): WorkQueue {
    const {log, signal} = this.#tools
    const queue = new WorkQueue({
      work: (key) => work(key).then(() => undefined),
      onError: (key, error, pauseMs) => {
        if (!signal.aborted) log('warn', 'reconcile failed, retrying', {key, error: String(error), pauseMs})
      },
    })
    this.#background(queue.run(signal))
    return queue
  }

  /** Tells of each object that the schema takes. One that it does not take is nobody else's trouble. */
  #watch<T>(
    query: WatchQuery,
    schema: z.ZodType<T>,
    onChange: (type: WatchEvent['type'], value: T, object: KubeObject) => void,
  ): Promise<void> {
    const {kube, signal} = this.#tools
    return kube.watch(
      {...query, ...this.#signs(query.kind)},
      ({type, object}) => {
        const {success, data, error} = schema.safeParse(object)
        if (success) onChange(type, data, object)
        else this.#leaveOut(object, error)
      },
      signal,
    )
  }

  /** Of a watch: that it is alive, and what goes wrong with it. */
  #signs(kind: string): Pick<WatchQuery, 'onAlive' | 'onProblem'> {
    const onAlive = (): void => this.liveness.alive(kind)
    onAlive()
    return {
      onAlive,
      onProblem: ({message}) => this.#tools.log('warn', 'watch failed', {kind, error: message}),
    }
  }

  /** The controller says so on the object itself. */
  #leaveOut({kind, metadata: {namespace, name}}: KubeObject, error: z.ZodError): void {
    this.#tools.log('warn', 'ignored an invalid object', {
      kind,
      namespace,
      name,
      error: wordsOfProblem(error),
    })
  }

  async #admit(key: string): Promise<void> {
    const object = await this.#tools.kube.get({apiVersion: API_VERSION, kind: 'Migration', ...nameOf(key)})
    if (object === undefined) return
    await lookForImages(object, this.#tools)
    await admitMove(object, {...this.#tools, checkpointImages: this.#images})
  }

  get unready(): string | undefined {
    return this.#unsynced > 0 ? 'the initial lists are not complete yet' : undefined
  }

  async idle(): Promise<void> {
    await this.#taking.idle()
    await this.#preparing.idle()
    await this.#making.idle()
    await this.#admitting.idle()
    await this.#cleaning.idle()
  }

  #onCheckpoint({type, object}: WatchEvent): void {
    const {success, error} = checkpointSchema.safeParse(object)
    const {namespace = '', name} = object.metadata
    const key = keyOf({namespace, name})
    // As it was when it could be read: what was begun for it then is still to be undone.
    const checkpoint = success ? parseCheckpoint(object) : this.#checkpoints.get(key)
    if (success || type === 'DELETED') this.#unreadable.delete(key)
    else {
      this.#unreadable.set(key, object)
      this.#leaveOut(object, error)
      return
    }
    if (checkpoint === undefined) return
    const {uid, status = {}} = checkpoint
    if (type === 'DELETED') {
      this.#checkpoints.delete(key)
      if (status.nodeName === this.#tools.node) this.#background(abandon(checkpoint, this.#tools))
      return
    }
    this.#checkpoints.set(key, checkpoint)
    const isOpen = status.phase === undefined || status.phase === 'Pending'
    if (uid !== '' && (isOpen || status.nodeName === this.#tools.node)) this.#taking.add(key)
  }

  #onPod(type: WatchEvent['type'], pod: Pod): void {
    const {uid, deletionTimestamp, annotations} = pod.metadata
    const ends = type === 'DELETED' || deletionTimestamp !== undefined
    if (type === 'DELETED') {
      this.#pods.delete(uid)
      this.#background(this.#preparations.remove(uid))
      if (pod.spec.containers.some(({image}) => image.startsWith(CHECKPOINT_IMAGE_PREFIX)))
        this.#cleaning.add(IMAGES)
    } else this.#pods.set(uid, pod)
    if (ends) {
      for (const [key, {status}] of this.#checkpoints)
        if (status?.podUID === uid && status.frozen === true && status.nodeName === this.#tools.node)
          this.#taking.add(key)
    } else if (annotations[RESTORE_ANNOTATION] !== undefined && pod.spec.runtimeClassName === RESTORE_RUNTIME)
      this.#preparing.add(uid)
  }

  async #makeImages(key: string): Promise<void> {
    const object = await this.#tools.kube.get({apiVersion: API_VERSION, kind: 'Restore', ...nameOf(key)})
    if (object !== undefined) await makeImages(object, {...this.#tools, checkpointImages: this.#images})
  }

  /** Unpacks ahead of the container's creation, and cleans up behind its start. */
  async #prepare(uid: string): Promise<void> {
    const pod = this.#pods.get(uid)
    if (pod === undefined) return
    for (const {name} of pod.spec.containers) {
      const id = await this.#preparations.asked(uid, name)
      if (id !== undefined && ranAs(pod, name, id)) {
        if (!(await this.#preparations.isRestored(uid, name)))
          await this.#preparations.noteRestored(uid, name)
      } else if (id === undefined && pod.status.phase !== 'Running') {
        // What is refused here is refused, with its reason, when the container is created.
        await this.#preparations.prepare(pod, name).catch((error: unknown) => {
          this.#tools.log('warn', 'could not prepare a restore', {
            pod: pod.metadata.name,
            namespace: pod.metadata.namespace,
            error: String(error),
          })
        })
      }
    }
  }

  /** Once everything is known: what belongs to pods and Checkpoints that are gone is removed. */
  async #sweep(): Promise<void> {
    const {archives, formerArchives, dumps, kube, log, node} = this.#tools
    await dumps.clean()
    const pods = [...this.#pods.values()]
    for (const checkpoint of this.#checkpoints.values())
      if (checkpoint.status?.nodeName === node)
        await removeFormer(formerArchives, checkpoint, pods, this.#startedAtMs)
    const unreadable = [...this.#unreadable.values()]
    const uids = new Set([
      ...[...this.#checkpoints.values()].map(({uid}) => uid),
      ...unreadable.map(({metadata}) => metadata.uid),
    ])
    for (const uid of await archives.list()) {
      if (uids.has(uid)) continue
      log('info', 'deleting the archive of a checkpoint that no longer exists', {uid})
      await archives.remove(uid)
    }
    this.#cleaning.add(IMAGES)
    for (const uid of await this.#preparations.list())
      if (!this.#pods.has(uid)) await this.#preparations.remove(uid)
    const held = new Set([
      ...[...this.#checkpoints.values()].flatMap(({status}) => (mayHold(status) ? [status?.podUID] : [])),
      ...unreadable.map((object) => podUidSchema.safeParse(object['status']).data?.podUID),
    ])
    for (const [uid, pod] of this.#pods) {
      if (held.has(uid) || !(await isStopped(uid, this.#tools))) continue
      const {namespace, name} = pod.metadata
      if ((await kube.get(podRef(namespace, name)))?.metadata.uid !== uid) continue
      log('warn', 'thawing a pod that was frozen for no checkpoint', {pod: name, namespace})
      await wakePod(uid, this.#tools)
    }
  }

  #background(work: Promise<void>): void {
    const {log, signal} = this.#tools
    work.catch((error: unknown) => {
      if (!signal.aborted)
        log('error', 'failed', {error: error instanceof Error ? error.stack : String(error)})
    })
  }
}

/** There is one thing of its kind to do. */
const IMAGES = 'images'

const podUidSchema = z.looseObject({podUID: z.string()})
const endedSchema = z.looseObject({
  phase: z.string().optional(),
  nodeName: z.string().optional(),
  targetNodeName: z.string().optional(),
  images: z.looseObject({}).optional(),
})

/** Whether a Restore or a Migration that came to nothing, or is gone, had images made on this node. */
function leavesImages(type: WatchEvent['type'], object: KubeObject, own: string): boolean {
  const {phase = '', nodeName, targetNodeName, images} = endedSchema.parse(object['status'] ?? {})
  const isOver = phase === 'Failed' || phase === 'RolledBack'
  return images !== undefined && (targetNodeName ?? nodeName) === own && (type === 'DELETED' || isOver)
}

const mayHold = (status: Named['status']): boolean =>
  status?.frozen === true || status?.phase === 'Dumping' || status?.phase === 'Storing'

const keyOf = ({namespace, name}: {namespace: string; name: string}): string => `${namespace}/${name}`

function nameOf(key: string): {namespace: string; name: string} {
  const [namespace = '', name = ''] = key.split('/')
  return {namespace, name}
}
