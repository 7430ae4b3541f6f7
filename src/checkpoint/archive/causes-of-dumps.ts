import type {KnownCause} from './cause.ts'

/** What CRIU says of processes that it cannot save, or that hold what it cannot put back either. */
export const CAUSES_OF_DUMPS: readonly KnownCause[] = [
  {
    code: 'tcp-established',
    pattern: /^Connected TCP socket/,
    about: 'file',
    tell: () => ({
      what: 'it has an established TCP connection',
      fix: 'close it in a preCheckpoint hook, or have connections closed: tcp-close in /etc/criu/runc.conf of the node',
    }),
  },
  {
    code: 'multipath-tcp',
    pattern: /^Unsupported proto 262 /,
    about: 'file',
    tell: () => ({
      what: 'it listens on an MPTCP socket, as Go programs do by default',
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
          ? `it has a socket of IP protocol ${protocol ?? '?'}, which CRIU cannot dump`
          : `it has a socket of ${FAMILIES[family] ?? `address family ${family}`}, which CRIU cannot dump`,
      fix: 'close it in a preCheckpoint hook',
    }),
  },
  {
    code: 'external-unix-socket',
    pattern: /^Unix socket \d+ without peer/,
    about: 'file',
    tell: () => ({
      what: 'it is connected by a unix socket to a process outside of the container',
      fix: 'detach whatever is attached to the container, or close the connection in a preCheckpoint hook',
    }),
  },
  {
    code: 'external-unix-socket',
    pattern: /^External socket is used|^Can't dump name-less external socket/,
    about: 'unix-socket',
    tell: (_, name) => ({
      what: `it is connected by a unix socket${name === undefined || name === 'null' ? '' : `, ${name},`} to a process outside of the container`,
      fix: 'detach whatever is attached to the container, or close the connection in a preCheckpoint hook',
    }),
  },
  {
    code: 'io-uring',
    pattern: /anon_inode:\[io_uring\]/,
    about: 'process',
    tell: () => ({
      what: 'it uses io_uring, which CRIU cannot dump',
      fix: 'set securityContext.seccompProfile.type of the pod to RuntimeDefault, which makes programs work without io_uring',
    }),
  },
  {
    code: 'io-uring',
    // The kernel passes no such file over a socket, which is how CRIU gets at open files.
    pattern: /^send_fds failed \(-22\)/,
    about: 'process',
    tell: () => ({
      what: 'the kernel does not hand out one of its open files, most likely an io_uring instance',
      fix: 'set securityContext.seccompProfile.type of the pod to RuntimeDefault, which makes programs work without io_uring',
    }),
  },
  {
    code: 'inotify',
    pattern: /^Can't dump that handle/,
    about: 'file',
    tell: () => ({
      what: 'it watches a file with inotify or fanotify, and the path of that file cannot be determined',
      fix: 'watch by polling (many programs have an option for this), or watch files on a volume instead of the root file system',
    }),
  },
  {
    code: 'file-lock',
    pattern: /^Some file locks are hold/,
    about: 'lock',
    tell: () => ({
      what: 'it holds a file lock',
      fix: 'include locks in the dump: file-locks in /etc/criu/runc.conf of the node',
    }),
  },
  {
    code: 'deleted-file',
    pattern: /^Can't dump ghost file (.*) of (\d+) size/,
    about: 'file',
    tell: ([, path, size]) => ({
      what: `it holds the deleted file ${path ?? '(unknown path)'} open, which has ${size ?? '?'} bytes`,
      fix: 'close it, or raise ghost-limit in /etc/criu/runc.conf of the node',
    }),
  },
  {
    code: 'device-file',
    // The type is the octal mode: 2 of a character device, 6 of a block device.
    pattern: /^Can't dump file \d+ of that type \[[26]\d{4}\] \(\w+ (\S+)\)/,
    about: 'file',
    tell: ([, numbers]) => ({
      what: `it holds device ${numbers ?? '?'} open, whose state is in the hardware or in the kernel`,
      fix: 'close the device in a preCheckpoint hook: CRIU cannot dump processes that use a GPU, FUSE or a disk directly',
    }),
  },
  {
    code: 'kernel-object',
    pattern: /^Can't dump file \d+ of that type \[\d+\] \((.*)\)/,
    about: 'file',
    tell: ([, kind]) => ({
      what: `it holds a file that only exists in the kernel: ${kind?.replace(/^anon /, '') ?? 'of unknown type'}`,
      fix: 'close it in a preCheckpoint hook: profilers, debuggers and eBPF programs hold such files',
    }),
  },
  {
    code: 'outside-process',
    pattern: /^pidfd pid (-?\d+) is not a part of process tree/,
    about: 'file',
    tell: ([, pid]) => ({
      what: `it holds a pidfd of process ${pid ?? '?'}, which is not in the container`,
      fix: 'close it in a preCheckpoint hook, or give the pod its own process namespace',
    }),
  },
  {
    code: 'shared-memory',
    pattern: /^Task \d+ with SysVIPC shmem map .* doesn't live in IPC ns/,
    about: 'process',
    tell: () => ({
      what: 'it uses System V shared memory of another IPC namespace',
      fix: 'set hostIPC to false; CRIU cannot dump memory that is shared with other containers of the pod',
    }),
  },
  {
    code: 'traced',
    pattern: /^Unseizable non-zombie (\d+) found, state t/,
    about: 'all',
    tell: ([, pid]) => ({
      what: `process ${pid ?? '?'} is traced by a debugger; CRIU would have to trace it, and only one program can`,
      fix: 'stop the debugger or strace, then try again',
    }),
  },
  {
    code: 'terminal',
    pattern:
      /^Found slave peer index|^Found dangling tty|ctty inheritance detected|^Don't have tty to inherit|^Unable to find a tty driver|^Only one slave external peer/,
    about: 'process',
    tell: () => ({
      what: 'it has a terminal whose master is outside of the container',
      fix: 'run the container without tty: true, and create a terminal inside of it with tmux or script',
    }),
  },
  {
    code: 'mount',
    pattern:
      /^Mount \d+ .*unreachable sharing|doesn't have a proper root mount|is a fuse mount but not external|^Mount \d+:\S+ is autodetected/,
    about: 'all',
    tell: ({input}) => ({
      what: `its mount ${/\/[^\s)]*/.exec(input)?.[0] ?? ''} belongs to the host or to a program outside of the container`,
      fix: 'mount a volume of the pod there, without mountPropagation, and not a hostPath with mounts below it',
    }),
  },
  {
    code: 'node-rights',
    pattern: /^Can't get rlimit \d+: Operation not permitted/,
    about: 'process',
    tell: () => ({
      what: 'it does not run as root, and this node lacks CAP_SYS_RESOURCE, which CRIU needs to dump such a process',
      fix: 'use a node that is a VM or a physical machine: a node that is a container may lack the capability',
    }),
  },
  {
    code: 'seccomp',
    pattern: /^.*seccomp.*$/i,
    about: 'process',
    tell: ([text]) => ({
      what: `its seccomp filter could not be dumped or restored (${text})`,
      fix: 'use a kernel with CONFIG_CHECKPOINT_RESTORE and CONFIG_SECCOMP_FILTER on both nodes; check it with `clouder checkpoint doctor NODE`',
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
