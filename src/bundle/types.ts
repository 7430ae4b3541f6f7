import type {Readable} from 'node:stream'
import {z} from 'zod'

export const archSchema = z.enum(['amd64', 'arm64'])
export type Arch = z.output<typeof archSchema>

export type SourceKind = 'release' | 'go'

const digest = z.string().regex(/^[0-9a-f]{64}$/)

const fileFields = {
  /** `kubelet`, `containerd`, `criu`, `cni-plugins`, `host-tools`. */
  name: z.string(),
  version: z.string(),
  /** Where it came from: a URL without credentials, a Go module and version, or Debian packages. */
  source: z.string(),
  /** Path inside the bundle; gzip of the content, or a .tar.gz of the folder. */
  path: z.string(),
  sizeBytes: z.int(),
  /** Of the file at `path`. */
  sha256: digest,
  /** Of the uncompressed content; for an archive of the uncompressed tar. */
  contentSha256: digest,
}

/** Something that lands on a node as a file or a folder under /opt/clouder. */
export const fileItemSchema = z.strictObject({kind: z.enum(['binary', 'archive']), ...fileFields})
export type FileItem = Readonly<z.output<typeof fileItemSchema>>

/** A JSON array of Kubernetes objects, as their authors published them. */
export const manifestsItemSchema = z.strictObject({kind: z.literal('manifests'), ...fileFields})
export type ManifestsItem = Readonly<z.output<typeof manifestsItemSchema>>

/** One of these objects. */
export const manifestSchema = z.looseObject({
  apiVersion: z.string(),
  kind: z.string(),
  metadata: z.looseObject({name: z.string()}),
})
export type Manifest = z.output<typeof manifestSchema>

/** A program of the machine that clouder runs on. */
export const toolItemSchema = z.strictObject({kind: z.literal('tool'), ...fileFields})
export type ToolItem = Readonly<z.output<typeof toolItemSchema>>

export const imageItemSchema = z.strictObject({
  kind: z.literal('image'),
  /** `kube-apiserver`, `pause`, … */
  name: z.string(),
  version: z.string(),
  source: z.string(),
  /** Full reference as manifests name it: `registry.k8s.io/kube-apiserver:v1.35.4`. */
  reference: z.string(),
  /** Digest of the image manifest in the bundle's OCI layout, `sha256:…`. */
  manifestDigest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
  /** Media type of the manifest; absent: an OCI image manifest. */
  manifestType: z.string().optional(),
  /** Every blob of the image: manifest, config and layers. */
  blobs: z.array(z.strictObject({digest: z.string().regex(/^sha256:[0-9a-f]{64}$/), sizeBytes: z.int()})),
  sizeBytes: z.int(),
  /** Only nodes of a cluster with an addon that lists it need it. */
  addon: z.literal(true).optional(),
})
export type ImageItem = Readonly<z.output<typeof imageItemSchema>>

/** One Debian package whose files are inside an archive or an image layer. */
export const packageItemSchema = z.strictObject({
  kind: z.literal('package'),
  name: z.string(),
  version: z.string(),
  source: z.string(),
  sizeBytes: z.int(),
  sha256: digest,
  /** Names of the items that hold its files. */
  usedBy: z.array(z.string()),
})
export type PackageItem = Readonly<z.output<typeof packageItemSchema>>

export const bundleLockSchema = z.strictObject({
  version: z.literal(1),
  kubernetes: z.string(),
  arch: archSchema,
  /** Hex sha256 over catalogue and sources: equal inputs, equal hash. */
  inputHash: digest,
  /** Hex sha256 of what clouder pinned when it was built; see catalogue-hash.ts. */
  catalogueHash: digest,
  files: z.array(fileItemSchema),
  images: z.array(imageItemSchema),
  // Locks of older bundles have neither of these.
  manifests: z.array(manifestsItemSchema).default([]),
  tools: z.array(toolItemSchema).default([]),
  packages: z.array(packageItemSchema),
})
export type BundleLock = Readonly<z.output<typeof bundleLockSchema>>

/** A bundle on this machine: a folder with `bundle.lock.json`, `files/` and `oci/` (an OCI image layout). */
export interface BundleFolder {
  readonly dir: string
  readonly lock: BundleLock
}

/** A bundle to install from. */
export interface Bundle extends BundleFolder {
  /**
   * A file that the lock names, by its path below the folder, as it was when the bundle was loaded: a build that
   * replaces the folder meanwhile changes nothing here. The stream fails where the file was missing.
   */
  readonly content: (path: string, chunkBytes?: number) => Readable
}

/** Which images a machine of a role needs before its pods start. */
export type ImageRole = 'all-nodes' | 'control-plane'
