import type {CatalogueBlob, CatalogueImage, CatalogueItem} from './catalogue-items.ts'
import type {Arch, PackageItem, SourceKind} from './types.ts'

/** What a source may use while it produces items. */
export interface SourceContext {
  readonly arch: Arch
  /** Without a leading v: `1.35.4`. */
  readonly kubernetes: string
  /** Scratch space and download cache of the source; kept between runs, so everything in it is written as temp + rename. */
  readonly workDir: string
  /** Where package.json lies; the Go modules are below `src/bundle/modules` of it. */
  readonly packageRoot: string
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly signal: AbortSignal
  progress(text: string): void
}

/** A Debian package whose files went into an item; the item's name is added by the caller. */
export type UsedPackage = Omit<PackageItem, 'usedBy' | 'kind'>

export interface ProducedFile {
  /** Absolute; the final bytes of the raw binary, or an uncompressed tar. The bundle compresses a copy. */
  readonly path: string
  /** A URL without credentials, a Go module and version, or Debian packages. */
  readonly source: string
  readonly version: string
  readonly packages: readonly UsedPackage[]
}

/** One blob of an OCI image, already on disk. */
export interface ProducedBlob {
  /** Absolute. */
  readonly path: string
  /** `sha256:…`, checked by whoever produced it. */
  readonly digest: string
  readonly sizeBytes: number
  readonly mediaType: string
}

/** An image for one architecture: its manifest (never an index), as published or as built, and what that names. */
export interface ProducedImage {
  readonly manifest: ProducedBlob
  /** The config and the layers that the manifest names. */
  readonly blobs: readonly ProducedBlob[]
  readonly source: string
  readonly version: string
  readonly packages: readonly UsedPackage[]
}

/** Where the items of a bundle come from. Errors: BundleError SOURCE_UNREACHABLE, BUNDLE_DIGEST_WRONG, BUILD_FAILED. */
export interface BundleSource {
  readonly kind: SourceKind
  /** Whether it can be used here at all; answers within about two seconds. */
  reachable(context: SourceContext): Promise<boolean>
  /** Whether this source has the item; what it lacks (`criu`, `smoke`, …) is taken from the go source. */
  has(item: CatalogueItem): boolean
  /** What makes equal items equal beside the catalogue: versions of compilers, hashes of module files. Quick, no network. */
  inputs(item: CatalogueItem, context: SourceContext): Promise<readonly string[]>
  file(item: CatalogueBlob, context: SourceContext): Promise<ProducedFile>
  image(item: CatalogueImage, context: SourceContext): Promise<ProducedImage>
}
