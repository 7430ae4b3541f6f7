export type CauseCode =
  | 'tcp-established'
  | 'multipath-tcp'
  | 'socket-kind'
  | 'external-unix-socket'
  | 'device-file'
  | 'io-uring'
  | 'inotify'
  | 'file-lock'
  | 'deleted-file'
  | 'kernel-object'
  | 'outside-process'
  | 'shared-memory'
  | 'traced'
  | 'terminal'
  | 'mount'
  | 'seccomp'
  | 'cpu-features'
  | 'file-missing'
  | 'file-changed'
  | 'pid-taken'
  | 'address-taken'
  | 'security-module'
  | 'node-rights'
  | 'kernel'
  | 'checkpoint-broken'
  | 'unknown'

export interface CauseText {
  readonly what: string
  readonly fix: string
}

interface KnownCause {
  readonly code: CauseCode
  /** In the text of an error, without what CRIU writes before it. */
  readonly pattern: RegExp
  /** Which process and file it belongs to: those that the log is at, or what another line told. */
  readonly about: 'all' | 'process' | 'file' | 'lock' | 'unix-socket'
  readonly tell: (match: RegExpExecArray, told: string | undefined) => CauseText
}

const RESTORE_LIKE = 'restore where the files of the checkpoint are: same image, same volumes'

/** What CRIU says, and what that means for a pod. The first that fits counts. */
export const CAUSES: readonly KnownCause[] = [
  {
    code: 'tcp-established',
    pattern: /^Connected TCP socket/,
    about: 'file',
    tell: () => ({
      what: 'a TCP connection is established',
      fix: 'close it before, in a hook, or let connections be closed: tcp-close in /etc/criu/runc.conf of the node',
    }),
  },
  {
    code: 'multipath-tcp',
    pattern: /^Unsupported proto 262 /,
    about: 'file',
    tell: () => ({
      what: 'it has a socket of multipath TCP, which Go programs listen with by themselves',
      fix: 'set the environment variable GODEBUG=multipathtcp=0 for the container',
    }),
  },
  {
    code: 'socket-kind',
    pattern: /^Unsupported proto (\d+) |Unknown socket collected \(family (\d+)\)/,
    about: 'file',
    tell: ([, protocol, family]) => ({
      what:
        family === undefined
          ? `it has a socket of IP protocol ${protocol ?? '?'}, which cannot be dumped`
          : `it has a socket of ${FAMILIES[family] ?? `address family ${family}`}, which cannot be dumped`,
      fix: 'close it before, in a hook',
    }),
  },
  {
    code: 'external-unix-socket',
    pattern: /^Unix socket \d+ without peer/,
    about: 'file',
    tell: () => ({
      what: 'it is connected over a unix socket to a process outside of the container',
      fix: 'detach what is attached, or close the connection before, in a hook',
    }),
  },
  {
    code: 'external-unix-socket',
    pattern: /^External socket is used|^Can't dump name-less external socket/,
    about: 'unix-socket',
    tell: (_, name) => ({
      what: `it is connected over a unix socket${name === undefined || name === 'null' ? '' : `, ${name},`} to a process outside of the container`,
      fix: 'detach what is attached, or close the connection before, in a hook',
    }),
  },
  {
    code: 'io-uring',
    pattern: /anon_inode:\[io_uring\]/,
    about: 'process',
    tell: () => ({
      what: 'it uses io_uring, which cannot be dumped',
      fix: 'give the pod securityContext.seccompProfile.type RuntimeDefault, which makes programs do without',
    }),
  },
  {
    code: 'io-uring',
    // The kernel passes no such file over a socket, which is how CRIU gets at open files.
    pattern: /^send_fds failed \(-22\)/,
    about: 'process',
    tell: () => ({
      what: 'one of its open files cannot be handed out by the kernel: most likely io_uring',
      fix: 'give the pod securityContext.seccompProfile.type RuntimeDefault, which makes programs do without',
    }),
  },
  {
    code: 'inotify',
    pattern: /^Can't dump that handle/,
    about: 'file',
    tell: () => ({
      what: 'it watches a file by inotify or fanotify whose path cannot be found again',
      fix: 'watch by polling (many programs have a switch), or watch in a volume instead of the root file system',
    }),
  },
  {
    code: 'file-lock',
    pattern: /^Some file locks are hold/,
    about: 'lock',
    tell: () => ({
      what: 'it holds a lock of a file',
      fix: 'let locks travel with it: file-locks in /etc/criu/runc.conf of the node',
    }),
  },
  {
    code: 'deleted-file',
    pattern: /^Can't dump ghost file (.*) of (\d+) size/,
    about: 'file',
    tell: ([, path, size]) => ({
      what: `it holds ${path ?? 'a file'} open, which was deleted and has ${size ?? '?'} bytes`,
      fix: 'close it, or raise ghost-limit in /etc/criu/runc.conf of the node',
    }),
  },
  {
    code: 'device-file',
    // The type is the octal mode: 2 of a character device, 6 of a block device.
    pattern: /^Can't dump file \d+ of that type \[[26]\d{4}\] \(\w+ (\S+)\)/,
    about: 'file',
    tell: ([, numbers]) => ({
      what: `it holds the device ${numbers ?? '?'} open, whose state is in the hardware or in the kernel`,
      fix: 'close the device before, in a hook: what uses a GPU, FUSE or a disk by itself cannot be dumped',
    }),
  },
  {
    code: 'kernel-object',
    pattern: /^Can't dump file \d+ of that type \[\d+\] \((.*)\)/,
    about: 'file',
    tell: ([, kind]) => ({
      what: `it holds a file that exists in the kernel only: ${kind?.replace(/^anon /, '') ?? 'of unknown kind'}`,
      fix: 'close it before, in a hook: profilers, debuggers and eBPF programs hold such files',
    }),
  },
  {
    code: 'outside-process',
    pattern: /^pidfd pid (-?\d+) is not a part of process tree/,
    about: 'file',
    tell: ([, pid]) => ({
      what: `it holds process ${pid ?? '?'} by a pidfd, and that one is not in the container`,
      fix: 'close it before, in a hook, or give the pod a process namespace of its own',
    }),
  },
  {
    code: 'shared-memory',
    pattern: /^Task \d+ with SysVIPC shmem map .* doesn't live in IPC ns/,
    about: 'process',
    tell: () => ({
      what: 'it has System V shared memory of an IPC namespace that is not its own',
      fix: 'set hostIPC to false; memory that is shared with other containers of the pod cannot be dumped',
    }),
  },
  {
    code: 'traced',
    pattern: /^Unseizable non-zombie (\d+) found, state t/,
    about: 'all',
    tell: ([, pid]) => ({
      what: `process ${pid ?? '?'} is traced by a debugger, and only one may trace it`,
      fix: 'end the debugger or strace, then try again',
    }),
  },
  {
    code: 'terminal',
    pattern:
      /^Found slave peer index|^Found dangling tty|ctty inheritance detected|^Don't have tty to inherit|^Unable to find a tty driver|^Only one slave external peer/,
    about: 'process',
    tell: () => ({
      what: 'it has a terminal whose other end is outside of the container',
      fix: 'run the container without tty: true, and give it a terminal of its own inside, by tmux or script',
    }),
  },
  {
    code: 'mount',
    pattern:
      /^Mount \d+ .*unreachable sharing|doesn't have a proper root mount|is a fuse mount but not external|^Mount \d+:\S+ is autodetected/,
    about: 'all',
    tell: ({input}) => ({
      what: `its mount ${/\/[^\s)]*/.exec(input)?.[0] ?? ''} belongs to the host or to a program outside of the container`,
      fix: 'mount a volume of the pod there, without mountPropagation, and no folder of the host with mounts below it',
    }),
  },
  {
    code: 'node-rights',
    pattern: /^Can't get rlimit \d+: Operation not permitted/,
    about: 'process',
    tell: () => ({
      what: 'it does not run as root, and this node lacks CAP_SYS_RESOURCE, without which such a process cannot be dumped',
      fix: 'use a node that is a machine: in a container that is a node the capability may be missing',
    }),
  },
  {
    code: 'seccomp',
    pattern: /^.*seccomp.*$/i,
    about: 'process',
    tell: ([text]) => ({
      what: `its seccomp filter could not be taken or put back (${text})`,
      fix: 'use a kernel with CONFIG_CHECKPOINT_RESTORE and CONFIG_SECCOMP_FILTER on both nodes; `clouder checkpoint doctor NODE` tells',
    }),
  },
  {
    code: 'cpu-features',
    pattern:
      /^(CPU (instruction )?capabilities do not match|CPU xfeatures has unsupported|CPU xsave (max )?size mismatch|FPU feature required)/,
    about: 'all',
    tell: () => ({
      what: 'the processor of this node lacks what the processes had when they were dumped',
      fix: 'restore on a node with the features that `clouder checkpoint inspect` lists',
    }),
  },
  {
    code: 'file-missing',
    pattern: /^Can't open file (.*?)(?: on restore)?: No such file or directory/,
    about: 'process',
    tell: ([, path]) => ({what: `/${path ?? ''} is not there, and it was open`, fix: RESTORE_LIKE}),
  },
  {
    code: 'file-changed',
    pattern: /^File (.*) has bad (size|mode) (\S+) \(expect (\S+)\)|^File (.*) has bad (?:build-ID|checksum)/,
    about: 'process',
    tell: ([, path, property, found, expected, other]) => ({
      what:
        other === undefined
          ? `/${path ?? ''} has ${property ?? 'size'} ${found ?? '?'}, and had ${expected ?? '?'}`
          : `/${other} is another file than the one that was open`,
      fix: RESTORE_LIKE,
    }),
  },
  {
    code: 'pid-taken',
    pattern: /^Can't fork for (\d+): File exists|^Pid (\d+) do not match expected/,
    about: 'all',
    tell: ([, taken, expected]) => ({
      what: `there is a process ${taken ?? expected ?? '?'} already`,
      fix: 'restore into a pod with a process namespace of its own: hostPID and shareProcessNamespace false',
    }),
  },
  {
    code: 'address-taken',
    pattern: /^Can't bind inet socket .*: (Address already in use|Cannot assign requested address)/,
    about: 'process',
    tell: ([, why]) => ({
      what:
        why === 'Address already in use'
          ? 'somebody listens where it listened'
          : 'it listened on an address that the new pod does not have',
      fix: 'listen on all addresses (0.0.0.0 or ::), and restore into a pod without hostNetwork',
    }),
  },
  {
    code: 'security-module',
    pattern: /^.*(?:apparmor|selinux|lsm).*$/i,
    about: 'process',
    tell: ([text]) => ({
      what: `its profile of the security module could not be taken or put back (${text})`,
      fix: 'restore on a node with the same profiles loaded',
    }),
  },
  {
    code: 'checkpoint-broken',
    pattern:
      /^Read \d+ bytes while \d+ expected from (\S+)|^Can't read pages data|^Unexpected EOF on|^Can't open dir|Magic doesn't match/i,
    about: 'all',
    tell: () => ({
      what: 'the checkpoint is not whole on this node',
      fix: 'restore again: it is fetched and verified anew',
    }),
  },
  {
    code: 'kernel',
    pattern:
      /kerndat_\w+ failed when initializing kerndat|Kernel (?:doesn't|does not) support|^CRIU needs to have the CAP/i,
    about: 'all',
    tell: ([text]) => ({
      what: `this kernel and this release of CRIU do not go together (${text})`,
      fix: 'use the CRIU of the bundle: `clouder checkpoint doctor NODE` tells which one runs',
    }),
  },
]

/** Address families of Linux that programs have sockets of. */
const FAMILIES: Readonly<Record<string, string>> = {
  '21': 'RDS',
  '29': 'CAN',
  '38': 'the kernel crypto API',
  '40': 'vsock',
  '44': 'XDP',
}
