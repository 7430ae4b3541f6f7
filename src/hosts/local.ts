import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {connect} from 'node:net'
import type {Machine} from '../spec/machine.ts'
import type {Host} from './host.ts'
import type {Channel, ChannelEnd} from './link.ts'
import type {Redactor} from './redaction.ts'
import {connectShellHost, type ShellLink} from './shell-host.ts'
import {openTunnel} from './tunnel.ts'

export interface LocalHostOptions {
  readonly name: string
  /** Name of the user this program runs as; `root` needs no sudo. */
  readonly user: string
  /** Marks this run's changes; any word that is unique to the run. */
  readonly token: string
  readonly redactor: Redactor
  readonly log?: (line: string) => void
  readonly signal: AbortSignal
}

/** This machine behind the same interface as any other, by child processes; sudo where the user isn't root. */
export async function localHost(options: LocalHostOptions): Promise<Host> {
  return connectShellHost({
    link: localLink(),
    machine: localMachine(options),
    identity: {name: options.name, address: '127.0.0.1', user: options.user, redactor: options.redactor},
    elevation: {kind: options.user === 'root' ? 'none' : 'sudo'},
    token: options.token,
    exclusive: false,
    log: options.log ?? (() => undefined),
    now: Date.now,
    signal: options.signal,
  })
}

function localMachine(options: LocalHostOptions): Machine {
  return {
    name: options.name,
    role: 'worker',
    address: '127.0.0.1',
    privateAddress: '127.0.0.1',
    ssh: {user: options.user, port: 22, hostKeys: []},
    labels: {},
    taints: [],
  }
}

function localLink(): ShellLink {
  return {
    open: openLocalChannel,
    connected: () => Promise.resolve(0),
    forward: (targetHost, targetPort) =>
      openTunnel(async () => {
        const socket = connect(targetPort, targetHost)
        await once(socket, 'connect')
        return socket
      }),
    close: () => Promise.resolve(),
  }
}

async function openLocalChannel(commandLine: string): Promise<Channel> {
  const child = spawn('/bin/sh', ['-c', commandLine], {cwd: '/', stdio: ['pipe', 'pipe', 'pipe']})
  const ended = new Promise<ChannelEnd>((resolve) => {
    child.once('close', (code, signal) => resolve({exitCode: code ?? undefined, signal: signal ?? undefined}))
  })
  await once(child, 'spawn')
  return {
    stdin: child.stdin,
    stdout: child.stdout,
    stderr: child.stderr,
    ended,
    close() {
      child.kill('SIGKILL')
      // A process that left the command's session may hold these open for ever.
      child.stdin.destroy()
      child.stdout.destroy()
      child.stderr.destroy()
    },
  }
}
