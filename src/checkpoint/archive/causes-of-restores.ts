import type {KnownCause} from './cause.ts'

const RESTORE_LIKE = 'restore with the same image and the same volumes'

/** What CRIU says where processes cannot be put back, and of nodes that fit neither. */
export const CAUSES_OF_RESTORES: readonly KnownCause[] = [
  {
    code: 'cpu-features',
    pattern:
      /^(CPU (instruction )?capabilities do not match|CPU xfeatures has unsupported|CPU xsave (max )?size mismatch|FPU feature required)/,
    about: 'all',
    tell: () => ({
      what: 'the CPU of this node lacks features that the processes had when they were dumped',
      fix: 'restore on a node with the CPU features that `clouder checkpoint inspect` lists',
    }),
  },
  {
    code: 'file-missing',
    pattern: /^Can't open file (.*?)(?: on restore)?: No such file or directory/,
    about: 'process',
    tell: ([, path]) => ({
      what: `/${path ?? ''} does not exist, but was open when the process was dumped`,
      fix: RESTORE_LIKE,
    }),
  },
  {
    code: 'file-changed',
    pattern: /^File (.*) has bad (size|mode) (\S+) \(expect (\S+)\)|^File (.*) has bad (?:build-ID|checksum)/,
    about: 'process',
    tell: ([, path, property, found, expected, other]) => ({
      what:
        other === undefined
          ? `/${path ?? ''} has ${property ?? 'size'} ${found ?? '?'}, expected ${expected ?? '?'}`
          : `/${other} is not the file that was open when the process was dumped`,
      fix: RESTORE_LIKE,
    }),
  },
  {
    code: 'pid-taken',
    pattern: /^Can't fork for (\d+): File exists|^Pid (\d+) do not match expected/,
    about: 'all',
    tell: ([, taken, expected]) => ({
      what: `process id ${taken ?? expected ?? '?'} is already in use`,
      fix: 'restore into a pod with its own process namespace: set hostPID and shareProcessNamespace to false',
    }),
  },
  {
    code: 'address-taken',
    pattern: /^Can't bind inet socket .*: (Address already in use|Cannot assign requested address)/,
    about: 'process',
    tell: ([, why]) => ({
      what:
        why === 'Address already in use'
          ? 'the address that it listens on is already in use'
          : 'it listens on an address that the new pod does not have',
      fix: 'listen on all addresses (0.0.0.0 or ::), and restore into a pod without hostNetwork',
    }),
  },
  {
    code: 'security-module',
    pattern: /^.*(?:apparmor|selinux|lsm).*$/i,
    about: 'process',
    tell: ([text]) => ({
      what: `its AppArmor or SELinux profile could not be dumped or restored (${text})`,
      fix: 'restore on a node where the same profiles are loaded',
    }),
  },
  {
    code: 'checkpoint-broken',
    pattern:
      /^Read \d+ bytes while \d+ expected from (\S+)|^Can't read pages data|^Unexpected EOF on|^Can't open dir|Magic doesn't match/i,
    about: 'all',
    tell: () => ({
      what: 'the checkpoint is incomplete on this node',
      fix: 'restore it again: it is downloaded and verified again',
    }),
  },
  {
    code: 'kernel',
    pattern:
      /kerndat_\w+ failed when initializing kerndat|Kernel (?:doesn't|does not) support|^CRIU needs to have the CAP/i,
    about: 'all',
    tell: ([text]) => ({
      what: `this kernel does not support what this CRIU release needs (${text})`,
      fix: 'use the CRIU of the bundle: `clouder checkpoint doctor NODE` shows which one is installed',
    }),
  },
]
