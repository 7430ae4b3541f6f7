import {appendFile, readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import type {Machine} from '../../../../src/spec/machine.ts'
import {connectSsh, knownHostsOf} from '../../../support/connect-ssh.ts'
import {makeKey, needSshd, startSshd, type Sshd} from '../../../support/with-sshd.ts'

/** Carries a connection to the test's sshd, as `aws ssm start-session` does to a machine. */
const carrier = ({port}: Sshd): string[] => [
  process.execPath,
  '-e',
  `const s = require('net').connect(${port}, '127.0.0.1'); process.stdin.pipe(s); s.pipe(process.stdout)`,
]

/** The machine under an address that nothing answers at. */
const behind = (sshd: Sshd, proxyCommand: string[]): Machine => {
  const machine = sshd.machine()
  return {...machine, address: '192.0.2.1', ssh: {...machine.ssh, proxyCommand}}
}

test('a connection goes through the program that the machine names, and its host key is checked like any other', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const machine = behind(sshd, carrier(sshd))
  const hostKeys = [await sshd.hostKey()]
  const strict = {knownHosts: knownHostsOf(sshd, 'strict')}
  await using host = await connectSsh(sshd, {...machine, ssh: {...machine.ssh, hostKeys}}, strict)
  expect((await host.query(['echo', 'there'])).stdout).toBe('there\n')
  await expect(connectSsh(sshd, machine, strict)).rejects.toMatchObject({code: 'HOST_KEY_UNKNOWN'})
})

test('a program that is not there, or that gives up, is told in its own words', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const started = performance.now()
  const absent = behind(sshd, [join(sshd.dir, 'no-such-program')])
  await expect(connectSsh(sshd, absent, {timeoutMs: 60_000})).rejects.toMatchObject({
    code: 'HOST_UNREACHABLE',
    message: expect.stringContaining('ENOENT') as string,
  })
  expect(performance.now() - started).toBeLessThan(15_000)
  const gives = behind(sshd, ['/bin/sh', '-c', 'echo TargetNotConnected: i-1 is not connected >&2; exit 255'])
  await expect(connectSsh(sshd, gives, {timeoutMs: 1_500})).rejects.toMatchObject({
    code: 'HOST_UNREACHABLE',
    message: expect.stringContaining('TargetNotConnected: i-1 is not connected') as string,
  })
})

test('a machine in its first boot lets in as soon as its user has the key', async (context) => {
  await needSshd(context)
  await using sshd = await startSshd()
  const keyPath = join(sshd.dir, 'late')
  await makeKey(keyPath, 'ed25519')
  const machine = sshd.machine({keyPath})
  const refused = connectSsh(sshd, machine, {timeoutMs: 60_000})
  await expect(refused).rejects.toMatchObject({code: 'AUTH_FAILED'})
  const booting = connectSsh(sshd, machine, {timeoutMs: 60_000, booting: true})
  await appendFile(`${sshd.userKey}.pub`, await readFile(`${keyPath}.pub`))
  await using host = await booting
  expect((await host.query(['true'])).exitCode).toBe(0)
})
