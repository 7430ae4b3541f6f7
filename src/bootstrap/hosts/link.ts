import type {Readable, Writable} from 'node:stream'

export interface ChannelEnd {
  /** Undefined when the command was killed, or when its end is not known. */
  readonly exitCode: number | undefined
  /** Name of the signal that killed it; undefined together with exitCode: the link was lost. */
  readonly signal: string | undefined
}

/** One running command. */
export interface Channel {
  readonly stdin: Writable
  readonly stdout: Readable
  readonly stderr: Readable
  /** Settles once, when the command ended and all its output was delivered; never rejects. */
  readonly ended: Promise<ChannelEnd>
  close(): void
}

/** Starts commands of the login user; all that the rest knows of SSH. */
export interface Link {
  /** Starts a line for the login shell. Throws ConnectionError. */
  open(commandLine: string, signal: AbortSignal): Promise<Channel>
}
