import type {KnownCause} from './cause.ts'

/** What CRIU says of processes that it cannot save, or that hold what it cannot put back either. */
export const CAUSES_OF_DUMPS: readonly KnownCause[] = [
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
]

/** Address families of Linux that programs have sockets of. */
const FAMILIES: Readonly<Record<string, string>> = {
  '21': 'RDS',
  '29': 'CAN',
  '38': 'the kernel crypto API',
  '40': 'vsock',
  '44': 'XDP',
}
