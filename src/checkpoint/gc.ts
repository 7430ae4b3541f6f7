import {CheckpointError} from './errors.ts'
import {readManifest} from './sealed/manifest.ts'
import type {BlobStore, CollectResult, Digest, StoredManifest} from './stores/blob-store.ts'

/** A push names its manifest before its Checkpoint says so, and puts blobs before that. */
export const GARBAGE_GRACE_MS = 24 * 3_600_000

export interface GarbageOptions {
  readonly store: BlobStore
  /**
   * Digests that Checkpoint objects name, of any namespace and phase, imports too. Asked after the store was listed, so that
   * what was stored or imported meanwhile is named.
   */
  readonly named: () => Promise<ReadonlySet<Digest>>
  /** What another cluster keeps in the same store is not this one's to remove. */
  readonly own: {
    /** Public key by which this cluster signs. */
    readonly publicKey: string
    /** When this cluster got it: what is older was signed by a cluster before, from which it was taken over. */
    readonly sinceMs: number
  }
  readonly graceMs?: number
  readonly dryRun: boolean
  readonly nowMs: number
  readonly signal: AbortSignal
}

export interface Garbage extends CollectResult {
  readonly removedManifests: readonly StoredManifest[]
}

/**
 * Removes stored checkpoints that no object names any more, and then blobs that no manifest names. What this cluster did not
 * store stays: one that was built anew, whose objects are gone, must not empty the store that it is to be restored from.
 * Throws CheckpointError BLOB_TAMPERED, having collected nothing, when a manifest does not say any more what it names.
 */
export async function removeGarbage(options: GarbageOptions): Promise<Garbage> {
  const {store, graceMs = GARBAGE_GRACE_MS, dryRun, nowMs, signal} = options
  const isDue = (storedMs: number) => storedMs >= options.own.sinceMs && storedMs < nowMs - graceMs
  const old = (await store.listManifests(signal)).filter(({storedAt}) => isDue(Date.parse(storedAt)))
  const named = await options.named()
  const removedManifests: StoredManifest[] = []
  for (const manifest of old) {
    if (named.has(manifest.digest) || !(await isOwn(manifest.digest, options))) continue
    if (!dryRun) await store.removeManifest(manifest.digest, signal)
    removedManifests.push(manifest)
  }
  const disregard = new Set(removedManifests.map(({digest}) => digest))
  const collected = await store.collect({graceMs, dryRun, disregard, signal})
  return {...collected, removedManifests}
}

async function isOwn(digest: Digest, {store, own, signal}: GarbageOptions): Promise<boolean> {
  const manifest = await store.getManifest(digest, signal)
  if (manifest === undefined) return false
  try {
    readManifest(manifest, [own.publicKey])
    return true
  } catch (error) {
    if (error instanceof CheckpointError && error.code === 'SIGNATURE_INVALID') return false
    throw error
  }
}
