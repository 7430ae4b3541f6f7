import type {Readable} from 'node:stream'

/** What an engine is told to own, and found again by. */
export type Labels = Readonly<Record<string, string>>

export interface EngineInfo {
  readonly kind: 'docker' | 'podman'
  readonly version: string
  /** Unix socket it answers on. */
  readonly socketPath: string
}

export interface EngineNetwork {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  /** CIDR notation. */
  readonly subnets: readonly string[]
  /** Addresses of running containers on it, without prefix length. */
  readonly addressesInUse: readonly string[]
}

export interface NetworkRequest {
  readonly name: string
  readonly labels: Labels
  readonly subnet: string
  /** Part of the subnet for containers that name no address. */
  readonly dynamicRange: string
}

export type ContainerStatus =
  'created' | 'running' | 'paused' | 'restarting' | 'removing' | 'exited' | 'dead' | 'unknown'

export interface EngineContainer {
  readonly id: string
  readonly name: string
  readonly labels: Labels
  readonly status: ContainerStatus
  /** False for a container that was made and never ran. */
  readonly everStarted: boolean
  readonly exitCode: number
  /** Network name to the address it was created with; empty text where it named none. */
  readonly addresses: Readonly<Record<string, string>>
  /** Container port to port on the machine's loopback. */
  readonly publishedPorts: Readonly<Record<number, number>>
  /** Names of the volumes it mounts. */
  readonly volumes: readonly string[]
}

export interface ContainerRequest {
  readonly name: string
  readonly hostname: string
  readonly labels: Labels
  readonly image: string
  readonly entrypoint: readonly [string, ...string[]]
  readonly environment: Readonly<Record<string, string>>
  readonly network: {readonly name: string; readonly address: string}
  /** Container port to port on the machine's loopback. */
  readonly publishedPorts: Readonly<Record<number, number>>
  /** Volume name to folder. */
  readonly volumes: Readonly<Record<string, string>>
  /** Folder of this machine to folder, read-only. */
  readonly readOnlyFolders: Readonly<Record<string, string>>
  /** Folder to mount options. */
  readonly tmpfs: Readonly<Record<string, string>>
  /** `all`: privileged; a list: these capabilities, and no other confinement left than their absence. */
  readonly capabilities: 'all' | readonly string[]
  readonly stopSignal: string
}

export interface EngineVolume {
  readonly name: string
  readonly labels: Labels
}

export interface EngineImage {
  readonly id: string
  readonly tags: readonly string[]
  readonly labels: Labels
}

export interface ExecResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

/** A file for a build or a container. */
export interface EngineFile {
  /** Absolute in a container, relative in a build. */
  readonly path: string
  readonly content: string
  readonly mode: number
}

/**
 * A container engine of this machine, as narrow as nodes need it. Whatever fails is an InfrastructureError ENGINE_FAILED;
 * removing what is absent is no failure. Lists are by label, all labels must match.
 */
export interface ContainerEngine {
  readonly info: EngineInfo

  listNetworks(labels: Labels): Promise<readonly EngineNetwork[]>
  createNetwork(request: NetworkRequest): Promise<void>
  removeNetwork(id: string): Promise<void>

  listContainers(labels: Labels): Promise<readonly EngineContainer[]>
  /** By name or id; undefined: none. */
  findContainer(name: string): Promise<EngineContainer | undefined>
  /** Returns the id. */
  createContainer(request: ContainerRequest): Promise<string>
  /** Starting a running one is fine. */
  startContainer(name: string): Promise<void>
  restartContainer(name: string, graceSeconds: number): Promise<void>
  stopContainer(name: string, graceSeconds: number): Promise<void>
  /** Kills it when it runs; its named volumes stay. */
  removeContainer(name: string): Promise<void>
  exec(container: string, argv: readonly [string, ...string[]], signal: AbortSignal): Promise<ExecResult>
  /** Writes a file as root, whether the container runs or not; its folder must exist. */
  putFile(container: string, file: EngineFile): Promise<void>
  /** Last lines of what its first process wrote. */
  lastLines(container: string, lines: number): Promise<string>

  listVolumes(labels: Labels): Promise<readonly EngineVolume[]>
  createVolume(name: string, labels: Labels): Promise<void>
  removeVolume(name: string): Promise<void>

  /** By `name:tag`; undefined: none. */
  findImage(tag: string): Promise<EngineImage | undefined>
  /** Makes an image of a root file system, an uncompressed tar. */
  importImage(rootfs: Readable, tag: string, labels: Labels, signal: AbortSignal): Promise<void>
  /** Fetches an image from its registry. */
  pullImage(reference: string, signal: AbortSignal): Promise<void>
  /** Builds from files, among them `Dockerfile`. */
  buildImage(
    files: readonly EngineFile[],
    options: {tag: string; labels: Labels; signal: AbortSignal; onLine: (line: string) => void},
  ): Promise<void>
  removeImage(tag: string): Promise<void>
}
