import {expect, test} from 'vitest'
import {loadSpec} from '../../../src/spec/load.ts'
import {expandHome, machineAtHome, specFromFolder} from '../../../src/spec/home-paths.ts'
import {byonMachines} from '../../../src/spec/machines.ts'

const text = `apiVersion: clouder.dev/v1alpha1
kind: Cluster
metadata: {name: lab}
spec:
  provider: {kind: byon}
  ssh:
    keyPath: ~/.ssh/id
    sudoPassword: {file: secrets/sudo}
    bastion: {address: 203.0.113.1, user: jump, keyPath: keys/jump}
  controlPlane: {hosts: [{address: 192.0.2.1, keyPath: ./keys/cp}]}
  workers: [{hosts: [{address: 192.0.2.2, keyPath: /keys/worker}]}]
`

test('relative paths of a file are made absolute, those below the home stay as written', () => {
  const spec = specFromFolder(loadSpec({text}), '/lab')
  expect(spec.ssh).toMatchObject({
    keyPath: '~/.ssh/id',
    sudoPassword: {file: '/lab/secrets/sudo'},
    bastion: {keyPath: '/lab/keys/jump', user: 'jump'},
  })
  expect(spec.controlPlane.hosts[0]?.keyPath).toBe('/lab/keys/cp')
  expect(spec.workers[0]?.hosts[0]?.keyPath).toBe('/keys/worker')
})

test('a machine is reached with files below the home of the user', () => {
  const spec = loadSpec({text: text.replaceAll('keys/jump', '~/jump').replace('./keys/cp', '~/cp')})
  const [first] = byonMachines(spec)
  if (first === undefined) throw new Error('no machine')
  expect(machineAtHome(first, '/home/me').ssh).toMatchObject({
    keyPath: '/home/me/cp',
    bastion: {keyPath: '/home/me/jump'},
  })
  expect(expandHome('/abs', '/home/me')).toBe('/abs')
})
