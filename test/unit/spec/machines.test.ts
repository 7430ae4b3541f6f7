import {expect, test} from 'vitest'
import {machineSchema} from '../../../src/spec/machine.ts'
import {byonMachines, nodeNames, plannedNodes} from '../../../src/spec/machines.ts'
import {specWith} from './documents.ts'

test('nodes are called after role or pool and number', () => {
  const spec = specWith({
    controlPlane: {count: 3},
    workers: [{count: 2}, {name: 'gpu'}],
    api: {endpoint: 'lb'},
  })
  expect(nodeNames(spec)).toEqual(['cp-1', 'cp-2', 'cp-3', 'worker-1', 'worker-2', 'gpu-1'])
})

const brought = {
  provider: {kind: 'byon'},
  controlPlane: {hosts: [{address: '192.0.2.1', privateAddress: '10.0.0.1'}]},
  workers: [
    {
      labels: {disk: 'slow', zone: 'a'},
      taints: [{key: 'a', effect: 'NoSchedule'}],
      hosts: [
        {address: '192.0.2.2', labels: {disk: 'fast'}, taints: [{key: 'b', effect: 'NoExecute'}]},
        {
          name: 'node-b',
          address: '192.0.2.3',
          user: 'debian',
          port: 2222,
          keyPath: '/k',
          sudoPassword: {file: '/p'},
        },
      ],
    },
  ],
  ssh: {
    user: 'admin',
    port: 22022,
    keyPath: '~/.ssh/id',
    sudoPassword: {env: 'P'},
    bastion: {address: 'jump', user: 'j'},
  },
}

test('hosts take the SSH settings of the cluster where they have none', () => {
  const machines = byonMachines(specWith(brought))
  const bastion = {address: 'jump', user: 'j', port: 22, hostKeys: []}
  expect(machines.map(({name, role, pool, privateAddress}) => ({name, role, pool, privateAddress}))).toEqual([
    {name: 'cp-1', role: 'control-plane', pool: undefined, privateAddress: '10.0.0.1'},
    {name: 'worker-1', role: 'worker', pool: 'worker', privateAddress: '192.0.2.2'},
    {name: 'node-b', role: 'worker', pool: 'worker', privateAddress: '192.0.2.3'},
  ])
  expect(machines.map(({ssh}) => ssh)).toEqual([
    {user: 'admin', port: 22022, keyPath: '~/.ssh/id', sudoPassword: {env: 'P'}, hostKeys: [], bastion},
    {user: 'admin', port: 22022, keyPath: '~/.ssh/id', sudoPassword: {env: 'P'}, hostKeys: [], bastion},
    {user: 'debian', port: 2222, keyPath: '/k', sudoPassword: {file: '/p'}, hostKeys: [], bastion},
  ])
})

test('a host adds to the labels and taints of its pool and wins over its labels', () => {
  expect(plannedNodes(specWith(brought))[1]).toMatchObject({
    labels: {disk: 'fast', zone: 'a'},
    taints: [{key: 'a'}, {key: 'b'}],
  })
})

test('machines have the shape that records keep', () => {
  for (const machine of byonMachines(specWith(brought))) expect(machineSchema.parse(machine)).toEqual(machine)
})

test('a spec whose machines are made brings none', () => {
  expect(byonMachines(specWith({}))).toEqual([])
})
