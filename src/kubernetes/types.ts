import {z} from 'zod'

export const kubeObjectSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({
    name: z.string(),
    namespace: z.string().optional(),
    uid: z.string().optional(),
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
}

export interface HttpAnswer {
  readonly status: number
  readonly body: string
}

/** The cluster, to look at. Throws KubernetesError API_UNREACHABLE when there is no answer. */
export interface KubeReader {
  get(ref: ObjectRef): Promise<KubeObject | undefined>
  list(query: ListQuery): Promise<readonly KubeObject[]>
  /** GET of a path of the API server; any status is an answer. */
  fetch(path: string, signal?: AbortSignal): Promise<HttpAnswer>
  /** What server-side apply would change, by dry run on the server: references of objects that differ or are absent. */
  diff(objects: readonly KubeObject[]): Promise<readonly ObjectRef[]>
}

/** The cluster, to change: handed to steps. */
export interface KubeApi extends KubeReader {
  /** Server-side apply as field manager `clouder`, in order. */
  apply(objects: readonly KubeObject[], signal?: AbortSignal): Promise<void>
  /** Merge patch. */
  patch(ref: ObjectRef, patch: unknown): Promise<void>
  /** Deletes; absent is fine. */
  remove(ref: ObjectRef): Promise<void>
  /** POST to a path of the API server, such as a node's checkpoint end-point. */
  post(path: string, body: string, signal?: AbortSignal): Promise<HttpAnswer>
}

/** A KubeApi with a connection of its own. */
export interface OpenKube extends KubeApi {
  close(): void
}

/** Opens the API server that a port on this machine's loopback leads to, as the user of the kubeconfig. */
export type KubeOpener = (options: {
  readonly kubeconfig: string
  readonly port: number
  readonly signal: AbortSignal
}) => Promise<OpenKube>
