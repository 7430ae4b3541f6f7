import type {Machine} from '../../spec/machine.ts'

/** A command as words; quoted in one function, so that no word is ever read as shell. */
export type Argv = readonly [string, ...string[]]

/** Text for `bash -s`, rendered from templates/ or a constant; it reaches the host on stdin, never on argv. */
export interface Script {
  /** Names the script in errors and logs: `containerd/probe.sh`. */
  readonly name: string
  readonly text: string
}

export interface CommandResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
}

export interface QueryOptions {
  readonly stdin?: string
  /** Run as root; true unless said. */
  readonly sudo?: boolean
  /** Default 60 s for queries, 10 min for exec and scripts. */
  readonly timeoutMs?: number
  /** Values that must not appear in any log, error or event. */
  readonly secrets?: readonly string[]
  readonly signal?: AbortSignal
}

export interface ExecOptions extends QueryOptions {
  /** Called with each whole line of stdout as it comes. */
  readonly onLine?: (line: string) => void
}

/** Observed once per run and host; does not change in a run. */
export interface HostFacts {
  readonly hostname: string
  /** `debian`, `ubuntu`, … as in os-release ID. */
  readonly osId: string
  /** `12`, `24.04`, as in os-release VERSION_ID. */
  readonly osVersion: string
  readonly osPrettyName: string
  /** Go's name of the architecture: `amd64`, `arm64`, or what uname said. */
  readonly arch: string
  readonly kernel: string
  readonly cgroupVersion: 1 | 2
  /** Whether the machine is a container (systemd-detect-virt -c). */
  readonly container: boolean
  /** Whether root there holds CAP_SYS_RESOURCE (bounding set). */
  readonly capSysResource: boolean
  readonly cpus: number
  readonly memoryMiB: number
  readonly machineId: string
  /** Of the kernel, and when its first process began: a container that is started anew has the same kernel. */
  readonly bootId: string
  readonly systemd: boolean
  /** Whether systemd-resolved runs, which keeps the real DNS servers in a file of its own. */
  readonly systemdResolved: boolean
  /** All addresses of the host, without loopback: CIDR notation. */
  readonly addresses: readonly string[]
  /** Destination CIDRs of the routing table of the host, `default` left out. */
  readonly routes: readonly string[]
  /** Host clock minus this machine's clock, taken at the middle of the round trip. */
  readonly clockSkewMs: number
  /** By how much that may be wrong: half of the round trip that was not spent on the host. */
  readonly clockSkewErrorMs: number
  /** Whether sshd forwards connections to the API server's port; else a command there carries them. */
  readonly apiForwarded: boolean
  /** Whether a real user's sudo was needed. */
  readonly sudo: 'root' | 'passwordless' | 'password'
}

/** A host that can be looked at. What is called through it promises to change nothing. */
export interface HostReader {
  readonly name: string
  readonly machine: Machine
  readonly facts: HostFacts
  /** Runs a command that only reads; any exit code is an answer. Throws ConnectionError, HostCommandError on timeout. */
  query(argv: Argv, options?: QueryOptions): Promise<CommandResult>
  /** Runs a script that only reads; any exit code is an answer. */
  queryScript(script: Script, options?: QueryOptions): Promise<CommandResult>
  /** Content of a file, undefined when there is none. */
  readFile(path: string): Promise<string | undefined>
}

export interface UploadOptions {
  /** Hex sha256 of the content; checked on the host before the file gets its name. */
  readonly sha256: string
  readonly sizeBytes: number
  readonly mode: number
  readonly signal?: AbortSignal
  readonly onProgress?: (sentBytes: number) => void
}

export interface Tunnel {
  /** Port on this machine's loopback. */
  readonly localPort: number
  /** Why the last connection to it led nowhere; who connected only sees it closed. */
  failure(): Error | undefined
  close(): Promise<void>
}

/** A host that can be changed: handed to a step by the engine when it runs. */
export interface Host extends HostReader {
  /** Runs a command; a non-zero exit throws HostCommandError. */
  exec(argv: Argv, options?: ExecOptions): Promise<CommandResult>
  /** Runs a script with `bash -s`; a non-zero exit throws HostCommandError. */
  runScript(script: Script, options?: ExecOptions): Promise<CommandResult>
  /** Writes a small file as root: temporary name, fsync, rename. Parent folders are made (0755). */
  writeFile(path: string, content: string, options: {mode: number; secret?: boolean}): Promise<void>
  /** Streams content to a file: temporary name, sha256 checked on the host, rename. */
  upload(content: AsyncIterable<Uint8Array>, path: string, options: UploadOptions): Promise<void>
  /** Streams content to a script's stdin. The script is given as text and travels before the content. */
  pipe(
    script: Script,
    content: AsyncIterable<Uint8Array>,
    options?: ExecOptions & {onProgress?: (sentBytes: number) => void},
  ): Promise<CommandResult>
  /** A port on this machine's loopback that leads to `host:port` as the host sees it. */
  forward(targetHost: string, targetPort: number): Promise<Tunnel>
  close(): Promise<void>
}

export interface ConnectOptions {
  readonly signal: AbortSignal
  /** How long to wait for sshd of a machine that is coming up. Default 60 s. */
  readonly timeoutMs?: number
  /**
   * The caller holds the cluster's lock: any change still at work on the host is an earlier run's and is waited for.
   * Without it only those whose connection is gone are.
   */
  readonly exclusive?: boolean
  /** It was just made: a login that is refused may be taken a minute later, when its first boot is done. */
  readonly booting?: boolean
}

export interface HostConnector {
  /** Opens the one connection to a machine and gathers its facts in one round trip. Throws ConnectionError. */
  connect(machine: Machine, options: ConnectOptions): Promise<Host>
}
