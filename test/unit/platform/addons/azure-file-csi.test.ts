import {expect, test} from 'vitest'
import {azureFileCsiAddon} from '../../../../src/platform/addons/azure-file-csi/addon.ts'
import {expectGolden, factsOf, privilegesOf} from '../../../support/addon-golden.ts'
import {driverFaults, renderedIn} from '../../../support/cloud-addons.ts'

const objects = renderedIn('azure', azureFileCsiAddon)

test('the objects are as their golden file says', () => {
  expectGolden('azure-file-csi', objects)
  expect(driverFaults(azureFileCsiAddon, objects)).toEqual([])
})

test('the driver mounts on nodes, where it may ask the API server for nothing', () => {
  expect(privilegesOf(objects)).toEqual([
    'Deployment azure-file-csi-controller: hostNetwork',
    'Deployment azure-file-csi-controller: runs as root',
    'Deployment azure-file-csi-controller: driver writable root file system',
    'DaemonSet azure-file-csi-nodes: hostNetwork',
    'DaemonSet azure-file-csi-nodes: runs as root',
    'DaemonSet azure-file-csi-nodes: driver allows privilege escalation',
    'DaemonSet azure-file-csi-nodes: driver writable root file system',
    'DaemonSet azure-file-csi-nodes: driver keeps capabilities',
  ])
  const bound = objects.flatMap(({kind, metadata}) => (kind.endsWith('RoleBinding') ? [metadata.name] : []))
  expect(bound).not.toContain('azure-file-csi-nodes')
})

test('shares are made in the account of the stack, and no subnet is changed', () => {
  expect(objects.find(({kind}) => kind === 'StorageClass')).toMatchObject({
    parameters: {protocol: 'nfs', storageAccount: 'clfiledemo', subnetName: 'nodes', vnetName: 'demo'},
  })
})

test('it needs an account for shares, and says how to get one', () => {
  const spec =
    'provider: {kind: azure, azure: {location: westeurope}}, access: {adminCidrs: [203.0.113.0/24]}'
  expect(azureFileCsiAddon.unavailable?.(factsOf(spec).spec)).toContain(
    'spec.provider.azure.sharedFiles: true',
  )
})
