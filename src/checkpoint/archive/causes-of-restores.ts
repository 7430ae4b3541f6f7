import type {KnownCause} from './cause.ts'

const RESTORE_LIKE = 'restore where the files of the checkpoint are: same image, same volumes'

/** What CRIU says where processes cannot be put back, and of nodes that fit neither. */
export const CAUSES_OF_RESTORES: readonly KnownCause[] = [
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
