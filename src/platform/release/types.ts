import type {KubeObject, ObjectRef} from '../../kubernetes/types.ts'

/** Which release: of `addon`, `network-policies`; of `stack`, `shop.iam` (stack and service). */
export interface ReleaseName {
  readonly owner: 'addon' | 'stack'
  /** A DNS subdomain. */
  readonly name: string
}

/**
 * A named set of objects that is applied, compared, pruned, rolled back and removed as one: what Helm calls a release.
 * It has a field manager of its own, an inventory in the cluster by which its objects are found (an ApplySet), and a
 * history of revisions. Objects of others are never pruned or removed.
 */
export interface Release extends ReleaseName {
  readonly version: string
  /** What it was made from, as JSON, kept with its revision. Holds no secret. */
  readonly parameters: unknown
  /** In any order; the engine sorts them into stages. */
  readonly objects: readonly KubeObject[]
  /**
   * Created where absent, and never compared, changed or pruned: passwords that were generated, certificates that the
   * cluster renews. Removed with the release.
   */
  readonly createdOnce?: readonly KubeObject[]
}

/** How a field of an object would change. The value of a Secret is never in it. */
export interface FieldChange {
  /** `spec.template.spec.containers[name=agent].image` */
  readonly path: string
  /** Undefined: absent. */
  readonly before: unknown
  readonly after: unknown
}

export interface ObjectChange {
  readonly ref: ObjectRef
  /** `replace`: a field that cannot change makes it be deleted and created again. `delete`: it is pruned. */
  readonly action: 'create' | 'update' | 'replace' | 'delete'
  /** Empty for `create` and `delete`. */
  readonly fields: readonly FieldChange[]
  /** Who changed these fields since: the field manager that the server names. Undefined: nobody, the release is new. */
  readonly driftedBy?: string
}

export interface ReleasePlan {
  readonly release: Release
  /** Empty: the cluster has what the release says, and its newest revision is this one. */
  readonly changes: readonly ObjectChange[]
  /** The newest revision in the cluster; undefined: not installed. */
  readonly installed?: Revision
}

/** What is kept of each apply, in the cluster. */
export interface Revision extends ReleaseName {
  readonly revision: number
  readonly version: string
  readonly parameters: unknown
  readonly appliedAt: string
  /** `applying`: a run began and has not ended, or was killed. `failed`: its gate failed; `message` says why. */
  readonly state: 'applying' | 'deployed' | 'failed' | 'superseded'
  readonly message?: string
  /** Without the data of Secrets. */
  readonly objects: readonly KubeObject[]
}

/** Something that is not ready yet: the object, and why. */
export interface NotReady {
  readonly ref: ObjectRef
  readonly problem: string
  /** It does not pass by itself: an image that cannot be pulled, a container that keeps crashing, a Job that failed. */
  readonly isStuck: boolean
}
