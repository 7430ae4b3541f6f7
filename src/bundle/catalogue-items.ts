import type {DebianRecipe} from './debian-recipes.ts'
import type {GoComponent} from './go-components.ts'

export interface GoRecipe {
  readonly from: 'go'
  readonly module: string
  /** Binaries of the component: one for a binary, all of them for an archive. */
  readonly binaries: readonly string[]
}

export interface CatalogueFile {
  readonly kind: 'binary' | 'archive'
  readonly name: string
  readonly version: string
  readonly recipe: GoRecipe | DebianRecipe
}

/** A program of the machine that clouder runs on; nodes do not get it. */
export interface CatalogueTool {
  readonly kind: 'tool'
  readonly name: string
  readonly version: string
  readonly recipe: GoRecipe
}

/** Objects as their authors wrote them, in YAML files of a pinned Go module. */
export interface ManifestsRecipe {
  readonly from: 'go-files'
  /** Folder below `src/bundle/modules`. */
  readonly module: string
  /** The module that has the files, with its version. */
  readonly upstream: string
  /** Paths in it; a folder stands for all its YAML files. */
  readonly paths: readonly string[]
  /** Kinds to take, such as `CustomResourceDefinition`; absent: every object. */
  readonly kinds?: readonly string[]
}

export interface CatalogueManifests {
  readonly kind: 'manifests'
  readonly name: string
  readonly version: string
  readonly recipe: ManifestsRecipe
}

/** An image of Go binaries. */
export interface GoImageRecipe {
  readonly module: string
  /** Path in the image per binary. */
  readonly binaries: Readonly<Record<string, string>>
  /** Debian programs in a layer below, shared by the images that want them. */
  readonly tools?: DebianRecipe
  readonly entrypoint: readonly string[]
  readonly command?: readonly string[]
}

/** An image of a program of clouder's own build, over what it runs on. */
export interface ProgramRecipe {
  /** Path below the folder of package.json, made by `npm run build`. */
  readonly program: string
  /** Path in the image. */
  readonly path: string
  readonly tools: DebianRecipe
  readonly entrypoint: readonly string[]
}

/** An image of programs of Debian packages. */
export interface DebianImageRecipe {
  readonly debian: DebianRecipe
  /** The package whose version is that of the image; it is the pinned one or newer. */
  readonly package?: string
  readonly entrypoint: readonly string[]
  readonly command?: readonly string[]
}

/** An image that is taken as its authors publish it, or not at all. */
export interface PublishedRecipe {
  readonly published: true
}

export interface CatalogueImage {
  readonly kind: 'image'
  readonly name: string
  readonly version: string
  /** As manifests name it: `registry.k8s.io/kube-apiserver:v1.35.4`. */
  readonly reference: string
  /** How the go source makes it. */
  readonly recipe: GoImageRecipe | ProgramRecipe | DebianImageRecipe | PublishedRecipe
  /** Only nodes of a cluster with an addon that lists it need it. */
  readonly addon?: true
}

/** What a bundle keeps as one file. */
export type CatalogueBlob = CatalogueFile | CatalogueTool | CatalogueManifests
export type CatalogueItem = CatalogueBlob | CatalogueImage

export interface Catalogue {
  readonly kubernetes: string
  readonly components: readonly GoComponent[]
  readonly files: readonly CatalogueFile[]
  readonly images: readonly CatalogueImage[]
  readonly manifests: readonly CatalogueManifests[]
  readonly tools: readonly CatalogueTool[]
}
