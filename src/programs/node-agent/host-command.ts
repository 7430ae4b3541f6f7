import {randomBytes} from 'node:crypto'
import {mkdir, readFile} from 'node:fs/promises'
import {delimitedField as field, numberField, readMessage} from '../../checkpoint/archive/protobuf.ts'
import {CheckpointError} from '../../checkpoint/errors.ts'
import {NOT_FOUND, OK, runtimeAway, runtimeCall, UNAVAILABLE, type RuntimeService} from './cri-call.ts'

/** Where the containers of these commands are: the kubelet's containers are in `k8s.io`, and it must not see them. */
const NAMESPACE = 'clouder'
/** https://github.com/containerd/containerd/tree/main/api/services */
const CONTAINERS: RuntimeService = {
  name: 'containerd.services.containers.v1.Containers',
  namespace: NAMESPACE,
}
const TASKS: RuntimeService = {name: 'containerd.services.tasks.v1.Tasks', namespace: NAMESPACE}
const RUNTIME = 'io.containerd.runc.v2'
const SPEC = 'types.containerd.io/opencontainers/runtime-spec/1/Spec'
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
const TIMEOUT_MS = 30_000
const SIGKILL = 9

export interface HostCommandOptions {
  /** A file of the node to which stdout and stderr are appended; absent: both are discarded. */
  readonly outputFile?: string
  /** `own`: a new network namespace, in which it is alone with a loopback interface. Default: that of the node. */
  readonly network?: 'own'
}

/** A command that is ready to start: that takes a tenth of a second, which a frozen pod need not wait for. */
export interface HostCommand {
  start(signal: AbortSignal): Promise<void>
  /**
   * Waits until it ends, and removes it; its exit code, 128 and the signal if a signal ended it. It runs on when the
   * signal is aborted, and is removed when it ends.
   */
  ended(signal: AbortSignal): Promise<number>
  /** Kills it and all that it started, and removes it. One that has ended, or that is gone, is no error. */
  kill(): Promise<void>
}

/**
 * Programs of the node, run as root of the node: in its own namespaces, with all capabilities that it has. An agent has
 * neither; containerd, whose socket it has, starts them. Throws CheckpointError CHECKPOINT_FAILED with what containerd
 * said, KubernetesError API_UNREACHABLE when it is away and nothing was begun.
 */
export interface HostCommands {
  prepare(argv: readonly string[], options: HostCommandOptions, signal: AbortSignal): Promise<HostCommand>
  /** Runs a command that may run on when the signal is aborted, and removes it; its exit code. */
  run(argv: readonly string[], options: HostCommandOptions, signal: AbortSignal): Promise<number>
  /** Removes commands that have ended and that nobody waits for: of an agent that was killed. */
  clean(signal: AbortSignal): Promise<void>
}

export interface CommandsOptions {
  /** Path on the node of clouder-files, which enters the mount namespace of the node. */
  readonly program: string
  /** A folder that can be made on the node, by the same path as here: where commands begin. */
  readonly root: string
  /** Of the first process of the node, whose capabilities commands get; default: /proc/1/status. */
  readonly statusFile?: string
}

/** The containerd behind a socket. */
export function containerdCommands(
  socket: string,
  {program, root, statusFile = '/proc/1/status'}: CommandsOptions,
): HostCommands {
  const call = async (
    service: RuntimeService,
    method: string,
    message: Uint8Array,
    {signal, mayBeGone = false}: {readonly signal: AbortSignal; readonly mayBeGone?: boolean},
  ): Promise<Uint8Array> => {
    const {code, message: words, body} = await runtimeCall(socket, service, method, message, signal)
    if (code === UNAVAILABLE) throw runtimeAway(words)
    if (code !== OK && !(mayBeGone && code === NOT_FOUND))
      throw new CheckpointError(
        'CHECKPOINT_FAILED',
        `the container runtime failed to run a command of the node (${method}): ${words}`,
      )
    return body
  }
  const inTime = (signal: AbortSignal): AbortSignal =>
    AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
  const inUse = new Set<string>()
  const remove = async (id: string, signal: AbortSignal): Promise<void> => {
    const wanted = {signal: inTime(signal), mayBeGone: true}
    await call(TASKS, 'Delete', field(1, id), wanted)
    await call(CONTAINERS, 'Delete', field(1, id), wanted)
    inUse.delete(id)
  }
  const endAndRemove = async (id: string): Promise<number> => {
    try {
      const forever = {signal: new AbortController().signal}
      const answer = readMessage(await call(TASKS, 'Wait', field(1, id), forever))
      await remove(id, AbortSignal.timeout(TIMEOUT_MS))
      return answer?.number(1) ?? 0
    } finally {
      inUse.delete(id)
    }
  }
  const commands: HostCommands = {
    async prepare(argv, {outputFile, network}, signal) {
      const id = `command-${randomBytes(8).toString('hex')}`
      const capabilities = await capabilitiesOf(statusFile)
      const spec = commandSpec({id, argv, capabilities, network, program, root})
      await mkdir(root, {recursive: true, mode: 0o700})
      const container = [
        field(1, id),
        field(4, field(1, RUNTIME)),
        field(5, Buffer.concat([field(1, SPEC), field(2, JSON.stringify(spec))])),
      ]
      const output = outputFile === undefined ? [] : [5, 6].map((one) => field(one, `file://${outputFile}`))
      inUse.add(id)
      try {
        const limit = {signal: inTime(signal)}
        await call(CONTAINERS, 'Create', field(1, Buffer.concat(container)), limit)
        await call(TASKS, 'Create', Buffer.concat([field(1, id), ...output]), limit)
      } catch (error) {
        await remove(id, AbortSignal.timeout(TIMEOUT_MS)).catch(() => undefined)
        inUse.delete(id)
        throw error
      }
      return {
        async start(until) {
          await call(TASKS, 'Start', field(1, id), {signal: inTime(until)})
        },
        ended: (until) => unlessAborted(endAndRemove(id), until),
        async kill() {
          const request = Buffer.concat([field(1, id), numberField(3, SIGKILL), numberField(4, 1)])
          const limit = {signal: AbortSignal.timeout(TIMEOUT_MS), mayBeGone: true}
          await call(TASKS, 'Kill', request, limit)
          await call(TASKS, 'Wait', field(1, id), limit)
          await remove(id, AbortSignal.timeout(TIMEOUT_MS))
        },
      }
    },
    async run(argv, options, signal) {
      const command = await commands.prepare(argv, options, signal)
      try {
        await command.start(signal)
      } catch (error) {
        await command.kill().catch(() => undefined)
        throw error
      }
      return command.ended(signal)
    },
    async clean(signal) {
      const answer = readMessage(await call(CONTAINERS, 'List', Buffer.alloc(0), {signal: inTime(signal)}))
      const ids = (answer?.messages(1) ?? []).map((container) => container.text(1) ?? '')
      // One that still runs may be in the middle of a dump, and must not be killed: it is removed another time.
      for (const id of ids)
        if (id.startsWith('command-') && !inUse.has(id)) await remove(id, signal).catch(() => undefined)
      signal.throwIfAborted()
    },
  }
  return commands
}

/** Throws the reason of the signal as soon as it is aborted. */
function unlessAborted<T>(waiting: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const stop = (): void =>
      reject(signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason)))
    if (signal.aborted) stop()
    signal.addEventListener('abort', stop, {once: true})
    waiting.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

/** Where clouder-files is in the root that runc makes. */
const ENTER = '/clouder-files'

/**
 * A process of the node: no namespace is another one in the end, but for the network if that is wanted. runc mounts its
 * root anew in whatever mount namespace it has, and would do that in the node's: it gets one of its own, with next to
 * nothing in it, and the process leaves that for the node's.
 */
const commandSpec = ({
  id,
  argv,
  capabilities,
  network,
  program,
  root,
}: Pick<CommandsOptions, 'program' | 'root'> & {
  readonly id: string
  readonly argv: readonly string[]
  readonly capabilities: readonly string[]
  readonly network: HostCommandOptions['network'] | undefined
}) => ({
  ociVersion: '1.0.2',
  process: {
    user: {uid: 0, gid: 0},
    args: [ENTER, 'enter-node', '--', ...argv],
    env: [`PATH=${PATH}`],
    cwd: '/',
    capabilities: {bounding: capabilities, effective: capabilities, permitted: capabilities},
  },
  root: {path: root},
  mounts: [
    {destination: '/proc', type: 'proc', source: 'proc'},
    // Without it runc makes devices.
    {destination: '/dev', type: 'bind', source: '/dev', options: ['rbind', 'rslave']},
    {destination: ENTER, type: 'bind', source: program, options: ['bind', 'ro']},
  ],
  linux: {
    cgroupsPath: `/clouder/${id}`,
    resources: {devices: [{allow: true, access: 'rwm'}]},
    namespaces: [{type: 'mount'}, ...(network === 'own' ? [{type: 'network'}] : [])],
  },
})

/** https://github.com/torvalds/linux/blob/v6.18/include/uapi/linux/capability.h: by their numbers. */
const CAPABILITIES = [
  ...['CHOWN', 'DAC_OVERRIDE', 'DAC_READ_SEARCH', 'FOWNER', 'FSETID', 'KILL', 'SETGID', 'SETUID', 'SETPCAP'],
  ...[
    'LINUX_IMMUTABLE',
    'NET_BIND_SERVICE',
    'NET_BROADCAST',
    'NET_ADMIN',
    'NET_RAW',
    'IPC_LOCK',
    'IPC_OWNER',
  ],
  ...[
    'SYS_MODULE',
    'SYS_RAWIO',
    'SYS_CHROOT',
    'SYS_PTRACE',
    'SYS_PACCT',
    'SYS_ADMIN',
    'SYS_BOOT',
    'SYS_NICE',
  ],
  ...['SYS_RESOURCE', 'SYS_TIME', 'SYS_TTY_CONFIG', 'MKNOD', 'LEASE', 'AUDIT_WRITE', 'AUDIT_CONTROL'],
  ...['SETFCAP', 'MAC_OVERRIDE', 'MAC_ADMIN', 'SYSLOG', 'WAKE_ALARM', 'BLOCK_SUSPEND', 'AUDIT_READ'],
  ...['PERFMON', 'BPF', 'CHECKPOINT_RESTORE'],
]

/** runc refuses to give what the node itself lacks. */
async function capabilitiesOf(statusFile: string): Promise<readonly string[]> {
  const text = await readFile(statusFile, 'utf8')
  const bounding = BigInt(`0x${/^CapBnd:\s*([\da-f]+)$/m.exec(text)?.[1] ?? '0'}`)
  return CAPABILITIES.flatMap((name, number) =>
    ((bounding >> BigInt(number)) & 1n) === 1n ? [`CAP_${name}`] : [],
  )
}
