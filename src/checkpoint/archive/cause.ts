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

export interface KnownCause {
  readonly code: CauseCode
  /** In the text of an error, without what CRIU writes before it. */
  readonly pattern: RegExp
  /** Which process and file it belongs to: those that the log is at, or what another line told. */
  readonly about: 'all' | 'process' | 'file' | 'lock' | 'unix-socket'
  readonly tell: (match: RegExpExecArray, told: string | undefined) => CauseText
}
