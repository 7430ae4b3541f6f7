import {expect, test} from 'vitest'
import {describeCause, diagnose, type Cause} from '../../../../src/checkpoint/archive/diagnose.ts'
import {REAL_LOGS} from '../../../support/criu-logs.ts'

type Expected = Partial<Omit<Cause, 'what'>> & {readonly what: RegExp}
const prog = (pid: number) => ({process: {pid, command: 'prog'}})

/** What each of the real logs is about. */
const CAUSES: Readonly<Record<keyof typeof REAL_LOGS, Expected>> = {
  bpf: {code: 'kernel-object', ...prog(23314), file: {fd: 3}, what: /anon_inode:bpf-map/},
  cpu: {code: 'cpu-features', what: /CPU of this node lacks/},
  deleted: {
    code: 'deleted-file',
    ...prog(23022),
    file: {fd: 3, path: '/srv/big (deleted)'},
    what: /3145728 bytes/,
  },
  extdgram: {
    code: 'external-unix-socket',
    ...prog(22896),
    file: {fd: 3},
    what: /\/run\/systemd\/journal\/socket/,
  },
  extunix: {code: 'external-unix-socket', ...prog(22881), file: {fd: 3}, what: /\/srv\/ext\.sock/},
  flock: {code: 'file-lock', ...prog(22849), file: {fd: 3, path: '/srv/lock'}, what: /holds a file lock/},
  fuse: {code: 'device-file', process: {pid: 24927, command: 'perl'}, file: {fd: 3}, what: /device 10:229/},
  inotify: {code: 'inotify', ...prog(22799), file: {fd: 3}, what: /inotify/},
  iouring: {code: 'io-uring', ...prog(22768), what: /most likely an io_uring/},
  iouringmap: {code: 'io-uring', ...prog(22783), what: /uses io_uring/},
  mntns: {code: 'mount', what: /its mount \/var\/lib\/etcd/},
  mptcp: {code: 'multipath-tcp', ...prog(22956), file: {fd: 3}, what: /an MPTCP socket/},
  perf: {code: 'kernel-object', ...prog(23054), file: {fd: 3}, what: /anon_inode:\[perf_event\]/},
  pidfd: {code: 'outside-process', ...prog(23117), file: {fd: 3}, what: /a pidfd of process 1,/},
  // These four are of pods, by the kubelet and with the runc.conf of clouder.
  'pod-extdgram': {
    code: 'external-unix-socket',
    ...prog(44338),
    file: {fd: 3},
    what: /outside of the container/,
  },
  'pod-hostpath': {code: 'mount', what: /its mount \/h\/hosts/},
  'pod-mptcp': {code: 'multipath-tcp', ...prog(43606), file: {fd: 3}, what: /an MPTCP socket/},
  'pod-nonroot': {code: 'node-rights', ...prog(44339), what: /CAP_SYS_RESOURCE/},
  posixlock: {
    code: 'file-lock',
    ...prog(22865),
    file: {fd: 3, path: '/srv/lock2'},
    what: /holds a file lock/,
  },
  ptrace: {code: 'traced', what: /process 23157 is traced/},
  'restore-broken': {code: 'checkpoint-broken', what: /incomplete on this node/},
  'restore-gone': {code: 'file-missing', process: {pid: 23666}, what: /^\/srv\/data\.txt does not exist/},
  'restore-larger': {
    code: 'file-changed',
    process: {pid: 23666},
    what: /^\/srv\/data\.txt has size 13, expected 5$/,
  },
  'restore-noexe': {code: 'file-missing', process: {pid: 23666}, what: /^\/srv\/prog does not exist/},
  'restore-noinv': {code: 'checkpoint-broken', what: /incomplete on this node/},
  'restore-nopages': {code: 'checkpoint-broken', what: /incomplete on this node/},
  'restore-otherexe': {code: 'file-changed', process: {pid: 23666}, what: /^\/srv\/prog has size/},
  'restore-pid': {code: 'pid-taken', what: /process id 23666 is already in use/},
  'restore-portused': {
    code: 'address-taken',
    process: {pid: 23679},
    what: /the address that it listens on is already in use/,
  },
  sysvshm: {code: 'shared-memory', ...prog(23133), what: /System V/},
  tcp: {code: 'tcp-established', ...prog(23646), file: {fd: 4}, what: /an established TCP connection/},
  tty: {code: 'terminal', ...prog(23299), what: /terminal/},
  userfault: {code: 'kernel-object', ...prog(23085), file: {fd: 3}, what: /userfaultfd/},
  vsock: {code: 'socket-kind', ...prog(22972), file: {fd: 3}, what: /vsock/},
}

test.each(Object.entries(CAUSES))(
  'the real log of %s names the cause, whose it is, and a fix',
  (name, {what, ...expected}) => {
    const found = diagnose(REAL_LOGS[name as keyof typeof REAL_LOGS])
    expect(found).toHaveLength(1)
    expect(found[0]).toMatchObject(expected)
    expect(found[0]?.what).toMatch(what)
    expect(found[0]?.fix.length).toBeGreaterThan(20)
    const told = Object.keys(expected)
    expect(Object.keys(found[0] ?? {}).filter((key) => ['process', 'file'].includes(key))).toEqual(
      told.filter((key) => ['process', 'file'].includes(key)),
    )
  },
)

test('two processes with two causes are told apart, and one cause is told once', () => {
  const log = [REAL_LOGS.tcp, REAL_LOGS.flock, REAL_LOGS.tcp].join('')
  expect(diagnose(log).map(({code}) => code)).toEqual(['tcp-established', 'file-lock'])
})

test('a log without an error has no cause', () => {
  const log =
    "(00.002491) Error (criu/util.c:1534): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"
  expect(diagnose(`${log}(00.2) Dumping finished successfully\n`)).toEqual([])
  expect(diagnose('')).toEqual([])
})

// Not seen on a machine: the words are those of CRIU's sources.
const NOT_SEEN: readonly (readonly [string, string, string])[] = [
  ['files-reg.c:1', 'File srv/lib.so has bad build-ID', 'file-changed'],
  ['pie/restorer.c:546', 'seccomp: SECCOMP_SET_MODE_FILTER returned -22 on tid 7', 'seccomp'],
  ['filesystems.c:552', 'mnt: ./data is a fuse mount but not external', 'mount'],
  ['sk-inet.c:1059', "inet: Can't bind inet socket (id 4): Cannot assign requested address", 'address-taken'],
  ['kerndat.c:2006', 'kerndat_iptables_has_xtlocks failed when initializing kerndat.', 'kernel'],
  ['lsm.c:360', 'mismatched lsm types and lsm profile specified', 'security-module'],
  ['new.c:1', 'something that nobody has met yet', 'unknown'],
]
test.each(NOT_SEEN)('an error of %s: %s', (place, words, code) => {
  expect(
    diagnose(`(00.1) Error (criu/${place}): ${words}\n(00.2) Error (criu/x.c:1): Restoring FAILED.\n`),
  ).toMatchObject([{code}])
})

test('a cause is one sentence', () => {
  expect(diagnose(REAL_LOGS.flock).map(describeCause)).toEqual([
    'process 22849 (prog), file descriptor 3 (/srv/lock): it holds a file lock; ' +
      'include locks in the dump: file-locks in /etc/criu/runc.conf of the node',
  ])
})
