import {readFile} from 'node:fs/promises'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {machineOf, sshArgv, writeSpecKeys} from '../../../src/cli/ssh-argv.ts'
import {machineSchema} from '../../../src/spec/machine.ts'
import type {ClusterRecord} from '../../../src/store/types.ts'
import {withTempFolder} from '../../support/temp-folder.ts'

const machine = machineSchema.parse({
  name: 'worker-1',
  role: 'worker',
  address: '192.0.2.7',
  privateAddress: '10.0.0.7',
  ssh: {user: 'admin', port: 2222, keyPath: '/home/tester/.ssh/lab'},
})
const options = {machine, knownHosts: ['/c/known_hosts'], firstUse: true, command: [], terminal: true}

test('a shell uses the key, port, user and pinned keys of the node', () => {
  expect(sshArgv(options)).toEqual([
    'ssh',
    ...['-o', 'UserKnownHostsFile=/c/known_hosts'],
    ...['-o', 'GlobalKnownHostsFile=/dev/null'],
    ...['-o', 'StrictHostKeyChecking=accept-new'],
    ...['-i', '/home/tester/.ssh/lab', '-o', 'IdentitiesOnly=yes'],
    ...['-p', '2222', 'admin@192.0.2.7'],
  ])
})

test('a command arrives word by word, and without a terminal none is asked for', () => {
  const argv = sshArgv({...options, terminal: false, command: ['ss', '-ltnp', "sport = :6443 'x'"]})
  expect(argv.slice(-4)).toEqual(['-T', 'admin@192.0.2.7', '--', `ss -ltnp 'sport = :6443 '\\''x'\\'''`])
})

test('strict checking refuses a key that nobody knows', () => {
  expect(sshArgv({...options, firstUse: false})).toContain('StrictHostKeyChecking=yes')
})

test('a bastion is passed with its own user, port and key, checked like the node', () => {
  const bastion = {address: 'gate.example', user: 'jump', port: 2022, hostKeys: []}
  const argv = sshArgv({...options, machine: {...machine, ssh: {...machine.ssh, bastion}}})
  const proxy = argv.find((word) => word.startsWith('ProxyCommand='))
  expect(proxy).toBe(
    'ProxyCommand=ssh -o UserKnownHostsFile=/c/known_hosts -o GlobalKnownHostsFile=/dev/null -o StrictHostKeyChecking=accept-new -i /home/tester/.ssh/lab -o IdentitiesOnly=yes -p 2022 -W [%h]:%p jump@gate.example',
  )
})

test('a program that carries the connection is passed as it is', () => {
  const proxyCommand = ['aws', 'ssm', 'start-session', '--target', 'i-1', '--parameters', 'portNumber=22']
  const argv = sshArgv({...options, machine: {...machine, ssh: {...machine.ssh, proxyCommand}}})
  expect(argv).toContain('ProxyCommand=aws ssm start-session --target i-1 --parameters portNumber=22')
})

test('keys that the spec vouches for are the only ones ssh is shown', async () => {
  await withTempFolder(async (dir) => {
    const file = join(dir, 'known_hosts.spec')
    expect(await writeSpecKeys(machine, file)).toBeUndefined()
    const vouched = {...machine, ssh: {...machine.ssh, hostKeys: ['ssh-ed25519 AAAA']}}
    expect(await writeSpecKeys(vouched, file)).toEqual([file])
    expect(await readFile(file, 'utf8')).toBe('[192.0.2.7]:2222 ssh-ed25519 AAAA\n')
  })
})

test('without a name the first control plane is meant, and an unknown one is told with those there are', () => {
  const record: ClusterRecord = {
    version: 1,
    name: 'demo',
    createdAt: '',
    updatedAt: '',
    provider: 'local',
    document: {},
    machines: [machine, {...machine, name: 'cp-1', role: 'control-plane'}],
    joined: [{...machine, name: 'extra'}],
  }
  expect(machineOf(record, undefined).name).toBe('cp-1')
  expect(machineOf(record, 'extra').name).toBe('extra')
  expect(() => machineOf(record, 'nope')).toThrow('demo has no node "nope"')
})
