import {readAtMost, TooLargeError} from '../../base/bounded.ts'
import type {BlobStore, CollectResult, Digest, StoredManifest} from './blob-store.ts'
import {
  checkedContent,
  digestFromHex,
  digestOf,
  hexOf,
  MAX_MANIFEST_BYTES,
  missing,
  namedBlobs,
  onePiece,
  tampered,
} from './content.ts'
import {inParallel} from './in-parallel.ts'
import type {Objects, StoredObject} from './objects.ts'
import {persistentObjects} from './persistent-objects.ts'
import type {Patience} from '../../base/waiting.ts'
import {storeError} from './problems.ts'

const CALLS_AT_ONCE = 8
/** A blob younger than this is safe from any collection, whose grace is an hour at least. */
const FRESH_MS = 10 * 60_000
const BLOBS = 'blobs/sha256/'
const MANIFESTS = 'manifests/'
const NAME_MAX_LENGTH = 200

export interface ObjectStoreOptions {
  /** Between two attempts; by default a store may be away for some ten seconds. */
  readonly pauseMs?: number
  readonly patience?: Patience | undefined
  readonly now?: () => number
}

/**
 * A BlobStore on anything that keeps named bytes: `blobs/sha256/<hex>`, and `manifests/<hex>/<name>`, which holds the
 * manifest of that digest.
 */
export function objectStore(
  stored: Objects,
  {pauseMs = 3000, patience, now = Date.now}: ObjectStoreOptions = {},
): BlobStore {
  const {location} = stored
  const objects = persistentObjects(stored, {pauseMs, patience})

  async function readManifest(
    key: string,
    digest: Digest,
    signal: AbortSignal,
  ): Promise<Uint8Array | undefined> {
    const content = await objects.read(key, signal)
    if (content === undefined) return undefined
    const manifest = await readAtMost(content, `manifest ${digest}`, MAX_MANIFEST_BYTES).catch(
      (error: unknown) => {
        throw error instanceof TooLargeError ? tampered(digest, location) : error
      },
    )
    if (digestOf(manifest) !== digest) throw tampered(digest, location)
    return manifest
  }

  /** Keys of the blobs that manifests name. */
  async function namedKeys(
    disregard: ReadonlySet<Digest>,
    signal: AbortSignal,
  ): Promise<ReadonlySet<string>> {
    const named = new Set<string>()
    await inParallel(await objects.list(MANIFESTS, signal), CALLS_AT_ONCE, async (object) => {
      const digest = storedManifest(object)?.digest
      if (digest === undefined || disregard.has(digest)) return
      const manifest = await readManifest(object.key, digest, signal)
      for (const blob of manifest === undefined ? [] : namedBlobs(manifest, location))
        named.add(blobKey(blob))
    })
    return named
  }

  const {readInto} = objects
  return {
    location,
    has: async (digest, signal) => (await objects.stat(blobKey(digest), signal)) !== undefined,
    put: async ({digest, sizeBytes, content, isHashed = false, prove = false, signal}) => {
      const key = blobKey(digest)
      const there = await objects.stat(key, signal)
      if (there?.sizeBytes !== sizeBytes) {
        const replace = there !== undefined
        const isProven = await objects.write({
          ...{key, digest, sizeBytes, content, isHashed, prove, replace, signal},
        })
        return {isProven}
      }
      if (there.modifiedAtMs < now() - FRESH_MS) {
        // So that a collection under way at the same time does not take it for left over.
        await objects.touch(key, signal)
      }
      return {isProven: false}
    },
    get: async function* (digest, signal, {unchecked = false} = {}) {
      const content = await objects.read(blobKey(digest), signal)
      if (content === undefined) throw missing(digest, location)
      yield* unchecked ? content : checkedContent(content, {digest, location})
    },
    ...(readInto === undefined
      ? {}
      : {
          getInto: async (digest, into, signal) => {
            const sizeBytes = await readInto(blobKey(digest), into, signal)
            if (sizeBytes === undefined) throw missing(digest, location)
            if (sizeBytes > into.length) throw tampered(digest, location)
            return sizeBytes
          },
        }),
    putManifest: async (manifest, name, signal) => {
      // It would not be read again.
      if (manifest.length > MAX_MANIFEST_BYTES)
        throw storeError(location, {
          kind: 'refused',
          words: `the manifest has ${manifest.length} bytes, expected at most ${MAX_MANIFEST_BYTES}`,
        })
      await inParallel(namedBlobs(manifest, location), CALLS_AT_ONCE, async (blob) => {
        if ((await objects.stat(blobKey(blob), signal)) === undefined) throw missing(blob, location)
      })
      const digest = digestOf(manifest)
      const key = manifestFolder(digest) + checkedName(name).slice(0, NAME_MAX_LENGTH)
      const content = () => onePiece(manifest)
      await objects.write({key, digest, sizeBytes: manifest.length, content, replace: true, signal})
      return digest
    },
    getManifest: async (digest, signal) => {
      const [object] = await objects.list(manifestFolder(digest), signal)
      return object === undefined ? undefined : readManifest(object.key, digest, signal)
    },
    listManifests: async (signal) => {
      const found = await objects.list(MANIFESTS, signal)
      return found.flatMap((object) => storedManifest(object) ?? []).sort(byTime)
    },
    removeManifest: async (digest, signal) => {
      for (const {key} of await objects.list(manifestFolder(digest), signal))
        await objects.remove(key, signal)
    },
    collect: async ({graceMs, dryRun, disregard = new Set(), signal}) => {
      const beforeMs = now() - graceMs
      // Blobs first: whoever names one of these from now on has touched it.
      const old = (await objects.list(BLOBS, signal)).filter(({modifiedAtMs}) => modifiedAtMs < beforeMs)
      const named = old.length === 0 ? new Set() : await namedKeys(disregard, signal)
      const left = old.filter(({key}) => !named.has(key))
      if (dryRun) return sumOf(left)
      const removed: StoredObject[] = []
      await inParallel(left, CALLS_AT_ONCE, async ({key}) => {
        const gone = await objects.removeOlder(key, beforeMs, signal)
        if (gone !== undefined) removed.push(gone)
      })
      await objects.removePartial(beforeMs, signal)
      return sumOf(removed)
    },
  }
}

const blobKey = (digest: Digest): string => BLOBS + hexOf(digest)
const manifestFolder = (digest: Digest): string => `${MANIFESTS}${hexOf(digest)}/`

/** Names come from Kubernetes, where none can leave its folder. */
export function checkedName(name: string): string {
  if (/^[a-z0-9][a-z0-9._-]*$/i.test(name)) return name
  throw new TypeError(`"${name}" is not a valid name for a manifest`)
}

/** Undefined: somebody else's file. */
function storedManifest({key, modifiedAtMs}: StoredObject): StoredManifest | undefined {
  const [, hex = '', name = ''] = key.split('/')
  const digest = digestFromHex(hex)
  return digest && {digest, name, storedAt: new Date(modifiedAtMs).toISOString()}
}

const byTime = (one: StoredManifest, other: StoredManifest): number =>
  one.storedAt.localeCompare(other.storedAt)

function sumOf(removed: readonly StoredObject[]): CollectResult {
  return {
    removedBlobs: removed.length,
    freedBytes: removed.reduce((sum, {sizeBytes}) => sum + sizeBytes, 0),
  }
}
