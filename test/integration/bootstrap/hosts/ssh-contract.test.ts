import {mkdtemp, rm} from 'node:fs/promises'
import {tmpdir} from 'node:os'
import {join} from 'node:path'
import {afterAll, type TestContext} from 'vitest'
import {connectSsh} from '../../../support/connect-ssh.ts'
import {realHostContract, type HostFixture} from '../../../support/host-contract.ts'
import {createSshUser, needSshd, startSshd, type Sshd, type SshUser} from '../../../support/with-sshd.ts'

type UserKind = 'root' | 'passwordless' | 'password'

// Servers and users only serve, no test changes them: one each for the whole file.
const resources = new AsyncDisposableStack()
afterAll(() => resources.disposeAsync())
let server: Promise<Sshd> | undefined
const users = new Map<UserKind, Promise<SshUser>>()

async function userOf(kind: UserKind): Promise<SshUser> {
  if (kind === 'root') return {name: 'root', password: '', [Symbol.asyncDispose]: () => Promise.resolve()}
  const user = users.get(kind) ?? createSshUser(kind).then((made) => resources.use(made))
  users.set(kind, user)
  return user
}

const makeHost =
  (kind: UserKind) =>
  async (context: TestContext): Promise<HostFixture> => {
    await needSshd(context)
    server ??= startSshd().then((made) => resources.use(made))
    const sshd = await server
    const user = await userOf(kind)
    const sudoPassword = kind === 'password' ? {sudoPassword: {env: 'SUDO_PASSWORD'}} : {}
    const log: string[] = []
    const host = await connectSsh(sshd, sshd.machine({user: user.name, ...sudoPassword}), {
      sudoPassword: user.password,
      log: (line) => log.push(line),
    })
    const dir = await mkdtemp(join(tmpdir(), 'clouder-host-'))
    return {
      host,
      dir,
      log,
      async [Symbol.asyncDispose]() {
        await host.close()
        await rm(dir, {recursive: true, force: true})
      },
    }
  }

realHostContract('SshHost as root', makeHost('root'))
realHostContract('SshHost with sudo', makeHost('passwordless'))
realHostContract('SshHost with a sudo password', makeHost('password'))
