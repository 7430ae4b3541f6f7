import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import type {TestContext} from 'vitest'
import {connectSsh} from '../../support/connect-ssh.ts'
import {realHostContract, type HostFixture} from '../../support/host-contract.ts'
import {createSshUser, needSshd, startSshd, type SshUser} from '../../support/with-sshd.ts'

type UserKind = 'root' | 'passwordless' | 'password'

const makeHost =
  (kind: UserKind) =>
  async (context: TestContext): Promise<HostFixture> => {
    await needSshd(context)
    const resources = new AsyncDisposableStack()
    const sshd = resources.use(await startSshd())
    const user: SshUser | undefined = kind === 'root' ? undefined : resources.use(await createSshUser(kind))
    const machine = sshd.machine({
      user: user?.name ?? 'root',
      ...(kind === 'password' ? {sudoPassword: {env: 'SUDO_PASSWORD'}} : {}),
    })
    const log: string[] = []
    const sudoPassword = user?.password ?? ''
    const host = await connectSsh(sshd, machine, {sudoPassword, log: (line) => log.push(line)})
    const dir = await mkdtemp(join(tmpdir(), 'clouder-host-'))
    resources.defer(() => rm(dir, {recursive: true, force: true}))
    resources.defer(() => host.close())
    return {host, dir, log, [Symbol.asyncDispose]: () => resources.disposeAsync()}
  }

realHostContract('SshHost as root', makeHost('root'))
realHostContract('SshHost with sudo', makeHost('passwordless'))
realHostContract('SshHost with a sudo password', makeHost('password'))
