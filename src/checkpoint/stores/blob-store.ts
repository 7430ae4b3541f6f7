/** `sha256:` and 64 hex digits. */
export type Digest = `sha256:${string}`

export interface StoredManifest {
  readonly digest: Digest
  /** Under which a person finds it: `<namespace>-<checkpoint>`; a store may have cut a long one. */
  readonly name: string
  /** ISO 8601; when it was put there. */
  readonly storedAt: string
}

export interface CollectResult {
  readonly removedBlobs: number
  readonly freedBytes: number
}

export interface PutResult {
  /**
   * The store computed the digest of what it was sent, refuses what has another, and reports the blob as stored with it.
   * False: only reading it back shows what is there, for example when it was there already.
   */
  readonly isProven: boolean
}

export interface BlobReadOptions {
  /** The caller compares or hashes what it gets. */
  readonly unchecked?: boolean
}

/**
 * A place where sealed checkpoints lie, addressed by content. Everything in it is sealed already: a store learns
 * sizes and times, nothing else. Throws CheckpointError STORE_UNREACHABLE, STORE_REFUSED.
 */
export interface BlobStore {
  /** For people: `s3://bucket/prefix`. Never holds a credential. */
  readonly location: string
  has(digest: Digest, signal: AbortSignal): Promise<boolean>
  /**
   * Puts a blob; one that is there already is not sent again. `content` may be asked for more than once, for a retry.
   * A put that is killed leaves no blob under that digest. `isHashed`: the caller has just computed the digest of these
   * very bytes, which are not hashed again. `prove`: to be told whether it is proven, which takes a request more.
   */
  put(blob: {
    readonly digest: Digest
    readonly sizeBytes: number
    readonly content: () => AsyncIterable<Uint8Array>
    readonly isHashed?: boolean
    readonly prove?: boolean
    readonly signal: AbortSignal
  }): Promise<PutResult>
  /**
   * Streams a blob and checks its digest at the end, unless the caller does (`unchecked`). Throws CheckpointError
   * BLOB_MISSING, BLOB_TAMPERED.
   */
  get(digest: Digest, signal: AbortSignal, options?: BlobReadOptions): AsyncIterable<Uint8Array>
  /**
   * Reads a blob into memory of the caller, unchecked, where a store can do that without memory of its own; gives how many
   * bytes that were. Throws CheckpointError BLOB_MISSING, and BLOB_TAMPERED for one that does not fit.
   */
  getInto?(digest: Digest, into: Uint8Array, signal: AbortSignal): Promise<number>
  /** Names a manifest, whose blobs are all there; it appears whole or not at all. */
  putManifest(manifest: Uint8Array, name: string, signal: AbortSignal): Promise<Digest>
  /** Undefined: there is none. Throws CheckpointError BLOB_TAMPERED. */
  getManifest(digest: Digest, signal: AbortSignal): Promise<Uint8Array | undefined>
  listManifests(signal: AbortSignal): Promise<readonly StoredManifest[]>
  /** Removes a manifest; absent is fine. Its blobs go with `collect`. */
  removeManifest(digest: Digest, signal: AbortSignal): Promise<void>
  /**
   * Removes blobs that no manifest names and that are older than `graceMs`: a push that is under way has put blobs
   * whose manifest comes last. `dryRun` counts only. An OCI registry collects by itself: nothing is counted there.
   * Throws CheckpointError BLOB_TAMPERED, and removes nothing, when a manifest does not say any more what it names.
   */
  collect(options: {
    /** An hour at least. */
    readonly graceMs: number
    readonly dryRun: boolean
    /** Manifests that count as removed, for a dry run. */
    readonly disregard?: ReadonlySet<Digest>
    readonly signal: AbortSignal
  }): Promise<CollectResult>
}
