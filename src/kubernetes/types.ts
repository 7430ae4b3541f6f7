import {z} from 'zod'

export const kubeObjectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string().optional(),
    resourceVersion: z.string().optional(),
    /** Counts changes of what is asked for, not of the status. */
    generation: z.int().optional(),
    creationTimestamp: z.string().nullish(),
    deletionTimestamp: z.string().optional(),
    finalizers: z.array(z.string()).optional(),
    labels: z.record(z.string(), z.string()).optional(),
    annotations: z.record(z.string(), z.string()).optional(),
  }),
})
export type KubeObject = z.output<typeof kubeObjectSchema>

export interface ObjectRef {
  readonly apiVersion: string
  readonly kind: string
  readonly name: string
  readonly namespace?: string
}

export interface ListQuery {
  readonly apiVersion: string
  readonly kind: string
  readonly namespace?: string
  readonly labelSelector?: string
  readonly fieldSelector?: string
}

export interface HttpAnswer {
  readonly status: number
  readonly body: string
  /** What the server asks to wait before the same call is sent again. */
  readonly retryAfterMs?: number
  /** A refusal of a server that is starting, and not ready to judge who may do what. */
  readonly isStarting?: true
}

/**
 * The cluster, to look at. Calls that are not accepted for the moment are repeated for a while. Throws KubernetesError
 * API_UNREACHABLE when there is no answer, API_UNAVAILABLE when it may be accepted later, API_REJECTED when it is
 * refused, and ConflictError when somebody else's write came first.
 */
export interface KubeReader {
  get(ref: ObjectRef): Promise<KubeObject | undefined>
  list(query: ListQuery): Promise<readonly KubeObject[]>
  /** GET of a path of the API server; any status is an answer. */
  fetch(path: string, signal?: AbortSignal): Promise<HttpAnswer>
  /** What server-side apply would change, by dry run on the server: references of objects that differ or are absent. */
  diff(objects: readonly KubeObject[]): Promise<readonly ObjectRef[]>
  /** What server-side apply as a field manager would make of an object, by dry run on the server; a refusal is thrown. */
  dryRun(object: KubeObject, fieldManager: string): Promise<KubeObject>
  /** The RBAC rule by which these credentials would be permitted the verbs on an object; undefined: they are. */
  missingRule(verbs: readonly string[], ref: ObjectRef): Promise<PolicyRule | undefined>
}

/** A rule of a Role, or of a ClusterRole where it has no namespace. */
export interface PolicyRule {
  readonly apiGroups: readonly string[]
  readonly resources: readonly string[]
  readonly verbs: readonly string[]
  readonly namespace?: string
}

export interface PatchOptions {
  /** What the patch was computed from. An object that has another one by now, or is gone: ConflictError. */
  readonly resourceVersion?: string | undefined
  /** `approval`: of a CertificateSigningRequest. Default: the object without its status. */
  readonly subresource?: 'status' | 'approval'
}

export interface DeleteOptions {
  /** Of a pod; 0 ends it without its kubelet. */
  readonly graceSeconds?: number
  /** Another object of the same name stays, which is fine: the one that was meant is gone. */
  readonly uid?: string | undefined
  /** An object that has another one by now stays: ConflictError. */
  readonly resourceVersion?: string | undefined
  /** What becomes of the objects that it owns. Default: they go after it. */
  readonly propagation?: 'Background' | 'Foreground' | 'Orphan'
}

/** The cluster, to change. */
export interface KubeClient extends KubeReader {
  /** Server-side apply as field manager `clouder`, in order. */
  apply(objects: readonly KubeObject[], signal?: AbortSignal): Promise<void>
  /**
   * Server-side apply as another field manager; what others own is taken over. Gives the object as it is afterwards.
   */
  applyAs(fieldManager: string, object: KubeObject, signal?: AbortSignal): Promise<KubeObject>
  /**
   * Undefined: an object of that name is there already. `dryRun`: nothing is made, and the answer is what it would be;
   * what admission refuses is refused, also where the name is taken.
   */
  create(object: KubeObject, options?: {readonly dryRun?: boolean}): Promise<KubeObject | undefined>
  /** Writes the whole object as long as it has the resourceVersion that was read. One that is gone: ConflictError. */
  update(object: KubeObject): Promise<KubeObject>
  /** Merge patch. */
  patch(ref: ObjectRef, patch: object, options?: PatchOptions): Promise<KubeObject>
  /** Absent is fine. */
  delete(ref: ObjectRef, options?: DeleteOptions): Promise<void>
  /** POST to a path of the API server, such as a node's checkpoint end-point. */
  post(path: string, body: string, signal?: AbortSignal): Promise<HttpAnswer>
  /**
   * Tells every object there is, then every change, until the signal is aborted; connects and lists again as needed,
   * misses nothing and never goes back to what is older. A kind that the server does not know yet is waited for. What
   * `onEvent` throws is a problem that is told, and ends nothing.
   */
  watch(query: WatchQuery, onEvent: (event: WatchEvent) => void, signal: AbortSignal): Promise<void>
  close(): void
}

/**
 * Opens an API server as the user of the kubeconfig: the one that a port on this machine's loopback leads to, or
 * without a port where the kubeconfig says.
 */
export type KubeOpener = (options: {
  readonly kubeconfig: string
  readonly port?: number
  readonly signal: AbortSignal
}) => Promise<KubeClient>

export interface WatchEvent {
  readonly type: 'ADDED' | 'MODIFIED' | 'DELETED'
  readonly object: KubeObject
}

/**
 * How current what a watch has told is. `syncing`: not everything was told yet. `stale`: the connection is lost.
 * `forbidden`: one may not read the kind. `absent`: the server does not know the kind. The last three are tried again.
 */
export type WatchState = 'syncing' | 'live' | 'stale' | 'forbidden' | 'absent'

export interface WatchQuery extends ListQuery {
  /** What is told and kept of an object; one for which it throws is left out. Default: all but managedFields. */
  readonly project?: (object: KubeObject) => KubeObject
  /** Told once, when everything that was there has been told as ADDED. */
  readonly onSynced?: () => void
  /** Told of the first state, and of each other one when it begins. */
  readonly onState?: (state: WatchState) => void
  /** Told of each refusal, broken connection, object that cannot be read and event that was not handled. */
  readonly onProblem?: (error: Error) => void
  /** Called at each sign of life: a connection that begins, or something heard of it. */
  readonly onAlive?: () => void
}
