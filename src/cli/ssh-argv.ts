import {writeFile} from 'node:fs/promises'
import {ConfigError} from '../base/errors.ts'
import {hostPattern} from '../bootstrap/hosts/known-hosts.ts'
import type {ClusterRecord} from '../store/types.ts'
import {quoteArgv} from '../base/quoting.ts'
import type {Machine} from '../spec/machine.ts'

export interface SshArgvOptions {
  readonly machine: Machine
  /** Files with pinned host keys; a key taken at first use goes into the first. */
  readonly knownHosts: readonly string[]
  /** Whether a host that is not in there yet is taken at first use. */
  readonly firstUse: boolean
  /** Words for the host; empty: a shell. */
  readonly command: readonly string[]
  /** Whether the user has a terminal. */
  readonly terminal: boolean
}

/** The command line of the system's `ssh` for a machine: the same user, key, port, pinned keys and bastion as ours. */
export function sshArgv(options: SshArgvOptions): readonly string[] {
  const {machine, command} = options
  const {ssh} = machine
  const checking = options.firstUse ? 'accept-new' : 'yes'
  const common = [
    ...option('UserKnownHostsFile', options.knownHosts.map(quoteFile).join(' ')),
    ...option('GlobalKnownHostsFile', '/dev/null'),
    ...option('StrictHostKeyChecking', checking),
  ]
  const jump =
    ssh.proxyCommand !== undefined
      ? option('ProxyCommand', quoteArgv(ssh.proxyCommand).replaceAll('%', '%%'))
      : ssh.bastion === undefined
        ? []
        : option(
            'ProxyCommand',
            quoteArgv([
              'ssh',
              ...common,
              ...keyWords(ssh.bastion.keyPath ?? ssh.keyPath),
              '-p',
              String(ssh.bastion.port),
              '-W',
              '[%h]:%p',
              `${ssh.bastion.user}@${ssh.bastion.address}`,
            ]).replaceAll("'[%h]:%p'", '[%h]:%p'),
          )
  return [
    'ssh',
    ...common,
    ...jump,
    ...keyWords(ssh.keyPath),
    '-p',
    String(ssh.port),
    ...(command.length === 0 || options.terminal ? [] : ['-T']),
    `${ssh.user}@${machine.address}`,
    // ssh joins words with spaces and a shell there splits them again: quoted, they arrive as they are.
    ...(command.length === 0 ? [] : ['--', quoteArgv(command)]),
  ]
}

function option(name: string, value: string): readonly string[] {
  return ['-o', `${name}=${value}`]
}

function keyWords(keyPath: string | undefined): readonly string[] {
  return keyPath === undefined ? [] : ['-i', keyPath, ...option('IdentitiesOnly', 'yes')]
}

/** A file name inside an option of ssh: a space would begin another file. */
function quoteFile(path: string): string {
  return /\s/.test(path) ? `"${path}"` : path
}

/** The machine of a name, or the first control plane. Throws ConfigError FLAG_INVALID naming those there are. */
export function machineOf(record: ClusterRecord, node: string | undefined): Machine {
  const machines = [...record.machines, ...record.joined]
  const found =
    node === undefined
      ? machines.find(({role}) => role === 'control-plane')
      : machines.find(({name}) => name === node)
  if (found !== undefined) return found
  const names = machines.map(({name}) => name).join(', ')
  throw new ConfigError(
    'FLAG_INVALID',
    node === undefined
      ? `${record.name} has no control plane yet`
      : `${record.name} has no node ${JSON.stringify(node)}`,
    {
      suggestions: [
        names === '' ? `create its machines: clouder kubeadm init ${record.name}` : `one of: ${names}`,
      ],
    },
  )
}

/**
 * Where the spec or the provider vouches for host keys, only they count: writes them to `file` for ssh to read.
 * Undefined where nobody does.
 */
export async function writeSpecKeys(machine: Machine, file: string): Promise<readonly string[] | undefined> {
  const {port, hostKeys, bastion} = machine.ssh
  const targets = [{address: machine.address, port, hostKeys}, ...(bastion === undefined ? [] : [bastion])]
  if (targets.every((target) => target.hostKeys.length === 0)) return undefined
  const lines = targets.flatMap((target) => target.hostKeys.map((key) => `${hostPattern(target)} ${key}\n`))
  await writeFile(file, lines.join(''), {mode: 0o600})
  return [file]
}
