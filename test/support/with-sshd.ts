import {execFile, spawn} from 'node:child_process'
import {once} from 'node:events'
import {access, chmod, mkdir, mkdtemp, readFile, rm, writeFile} from 'node:fs/promises'
import {tmpdir, userInfo} from 'node:os'
import {join} from 'node:path'
import {promisify} from 'node:util'
import type {TestContext} from 'vitest'
import type {Machine} from '../../src/spec/machine.ts'
import {waitFor} from '../../src/base/waiting.ts'
import {freePort} from './free-port.ts'

const run = promisify(execFile)
const sshdPath = '/usr/sbin/sshd'

/** Ends the test as skipped, with the reason, where it can't run; as failed where every test must run. */
export async function needSshd(context: TestContext): Promise<void> {
  const missing: string[] = []
  for (const path of [sshdPath, '/usr/bin/sudo', '/usr/bin/setsid', '/usr/bin/ssh-agent']) {
    await access(path).catch(() => missing.push(path))
  }
  if (userInfo().uid !== 0) missing.push('root, to make users and let sshd start')
  if (missing.length === 0) return
  const reason = `needs ${missing.join(', ')} (apt-get install openssh-server openssh-client sudo)`
  if (process.env.CLOUDER_REQUIRE_E2E === '1') throw new Error(reason)
  context.skip(reason)
}

export interface Sshd extends AsyncDisposable {
  readonly dir: string
  readonly port: number
  /** Private key that every user of this sshd may log in with. */
  readonly userKey: string
  /** `<type> <base64>` of the ed25519 host key. */
  hostKey(): Promise<string>
  /** Makes new host keys and takes them into use; open connections stay. */
  changeHostKeys(): Promise<void>
  /** Log-ins that succeeded since the start. */
  logins(): Promise<number>
  /** Connections that were begun since the start, whatever became of them. */
  connections(): Promise<number>
  /** Kills the processes that serve connections, as a cut line would. */
  cutConnections(): Promise<void>
  stop(): Promise<void>
  start(): Promise<void>
  machine(ssh?: Partial<Machine['ssh']>, machine?: Partial<Machine>): Machine
}

export interface SshdOptions {
  /** Further lines of sshd_config. */
  readonly config?: readonly string[]
}

/** A real sshd on a free port of the loopback, with its own configuration, host keys and user key. */
export async function startSshd(options: SshdOptions = {}): Promise<Sshd> {
  const dir = await mkdtemp(join(tmpdir(), 'clouder-sshd-'))
  // The user's side of the key must be readable by sshd for users other than root.
  await chmod(dir, 0o755)
  await mkdir('/run/sshd', {recursive: true})
  const port = await freePort()
  const userKey = join(dir, 'user')
  await makeKey(userKey, 'ed25519')
  await chmod(`${userKey}.pub`, 0o644)
  await makeHostKeys(dir)
  const config = [
    // First: sshd takes what it reads first.
    ...(options.config ?? []),
    `Port ${port}`,
    'ListenAddress 127.0.0.1',
    `HostKey ${dir}/host_ed25519`,
    `HostKey ${dir}/host_ecdsa`,
    `AuthorizedKeysFile ${userKey}.pub`,
    'PidFile none',
    'UsePAM no',
    'StrictModes no',
    'PermitRootLogin yes',
    'PasswordAuthentication no',
    'KbdInteractiveAuthentication no',
    'LogLevel VERBOSE',
  ]
  await writeFile(join(dir, 'sshd_config'), `${config.join('\n')}\n`)
  const log = join(dir, 'log')
  let listener = await launch(dir, log, port)
  let starts = 1

  const linesWith = async (start: string): Promise<number> =>
    (await readFile(log, 'utf8')).split('\n').filter((line) => line.startsWith(start)).length
  const children = async (): Promise<readonly string[]> => {
    const {stdout} = await run('pgrep', ['-P', String(listener.pid)]).catch(() => ({stdout: ''}))
    return stdout.split('\n').filter((pid) => pid !== '')
  }
  const stop = async (): Promise<void> => {
    if (listener.exitCode !== null || listener.signalCode !== null) return
    const exited = once(listener, 'exit')
    listener.kill('SIGTERM')
    await exited
  }
  const cutConnections = async (): Promise<void> => {
    // By kill(1), which lets be what ended by itself in the meantime.
    const pids = await children()
    if (pids.length > 0) await run('kill', ['-KILL', ...pids]).catch(() => undefined)
  }
  return {
    dir,
    port,
    userKey,
    stop,
    cutConnections,
    async hostKey() {
      const [type, base64] = (await readFile(join(dir, 'host_ed25519.pub'), 'utf8')).split(' ')
      return `${type} ${base64}`
    },
    async changeHostKeys() {
      await stop()
      await makeHostKeys(dir)
      listener = await launch(dir, log, port)
      starts += 1
    },
    logins: () => linesWith('Accepted publickey'),
    // Each start is looked for by a connection of its own.
    connections: async () => (await linesWith('Connection from 127.0.0.1 port')) - starts,
    async start() {
      listener = await launch(dir, log, port)
      starts += 1
    },
    machine(ssh = {}, machine = {}) {
      return {
        name: 'node-1',
        role: 'worker',
        address: '127.0.0.1',
        privateAddress: '127.0.0.1',
        labels: {},
        taints: [],
        ...machine,
        ssh: {user: 'root', port, keyPath: userKey, hostKeys: [], ...ssh},
      }
    },
    async [Symbol.asyncDispose]() {
      await cutConnections()
      await stop()
      await rm(dir, {recursive: true, force: true})
    },
  }
}

async function launch(dir: string, log: string, port: number) {
  const listener = spawn(sshdPath, ['-D', '-f', join(dir, 'sshd_config'), '-E', log], {stdio: 'ignore'})
  await waitFor({
    what: `sshd on port ${port}`,
    timeoutMs: 10_000,
    intervalMs: 20,
    signal: AbortSignal.timeout(10_000),
    async check() {
      const text = await readFile(log, 'utf8').catch(() => '')
      if (listener.exitCode !== null) throw new Error(`sshd ended: ${text}`)
      const listening = await run('bash', ['-c', `exec 3<>/dev/tcp/127.0.0.1/${port}`]).then(
        () => true,
        () => false,
      )
      return listening ? {value: true, seen: 'listening'} : {seen: text}
    },
  })
  return listener
}

async function makeHostKeys(dir: string): Promise<void> {
  for (const type of ['ed25519', 'ecdsa'] as const) await makeKey(join(dir, `host_${type}`), type)
}

/** A new key pair without a passphrase, at `path` and `path.pub`. */
export async function makeKey(path: string, type: 'ed25519' | 'ecdsa', passphrase = ''): Promise<void> {
  await rm(path, {force: true})
  await run('ssh-keygen', ['-q', '-t', type, '-N', passphrase, '-C', 'test', '-f', path])
}

export interface SshUser extends AsyncDisposable {
  readonly name: string
  readonly password: string
}

let users = 0

/** A user of this machine for the time of a test. */
export async function createSshUser(sudo: 'passwordless' | 'password' | 'refused'): Promise<SshUser> {
  users += 1
  const name = `clouder-t${process.pid}-${users}`
  const password = `canary-${crypto.randomUUID()}`
  const sudoers = `/etc/sudoers.d/${name}`
  await run('useradd', ['--create-home', '--shell', '/bin/bash', name])
  const chpasswd = spawn('chpasswd', {stdio: ['pipe', 'ignore', 'ignore']})
  chpasswd.stdin.end(`${name}:${password}\n`)
  await once(chpasswd, 'exit')
  if (sudo !== 'refused') {
    const rule = sudo === 'passwordless' ? 'NOPASSWD: ALL' : 'ALL'
    await writeFile(sudoers, `${name} ALL=(ALL) ${rule}\n`, {mode: 0o440})
  }
  return {
    name,
    password,
    async [Symbol.asyncDispose]() {
      await rm(sudoers, {force: true})
      await run('pkill', ['-KILL', '-u', name]).catch(() => undefined)
      await run('userdel', ['--remove', name])
    },
  }
}

export interface SshAgent extends AsyncDisposable {
  readonly socket: string
  add(keyPath: string): Promise<void>
}

/** An ssh-agent of its own, without keys. */
export async function startAgent(dir: string): Promise<SshAgent> {
  const socket = join(dir, 'agent')
  const agent = spawn('ssh-agent', ['-D', '-a', socket], {stdio: ['ignore', 'pipe', 'ignore']})
  await once(agent.stdout, 'data')
  return {
    socket,
    async add(keyPath) {
      await run('ssh-add', ['-q', keyPath], {env: {...process.env, SSH_AUTH_SOCK: socket}})
    },
    [Symbol.asyncDispose]() {
      agent.kill()
      return Promise.resolve()
    },
  }
}
