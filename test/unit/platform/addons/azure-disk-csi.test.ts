import {expect, test} from 'vitest'
import {azureDiskCsiAddon} from '../../../../src/platform/addons/azure-disk-csi/addon.ts'
import {expectGolden, privilegesOf} from '../../../support/addon-golden.ts'
import {driverFaults, renderedIn} from '../../../support/cloud-addons.ts'

const objects = renderedIn('azure', azureDiskCsiAddon)
const classOf = (among = objects) => among.find(({kind}) => kind === 'StorageClass')

test('the objects are as their golden file says', () => {
  expectGolden('azure-disk-csi', objects)
  expect(driverFaults(azureDiskCsiAddon, objects)).toEqual([])
})

test('on nodes the driver has the rights of the node, and none of its network or identity', () => {
  expect(privilegesOf(objects)).toEqual([
    'Deployment azure-disk-csi-controller: hostNetwork',
    'Deployment azure-disk-csi-controller: runs as root',
    'Deployment azure-disk-csi-controller: driver writable root file system',
    'DaemonSet azure-disk-csi-nodes: runs as root',
    'DaemonSet azure-disk-csi-nodes: driver allows privilege escalation',
    'DaemonSet azure-disk-csi-nodes: driver keeps capabilities',
  ])
  const nodes = objects.find(({kind}) => kind === 'DaemonSet')
  expect(JSON.stringify(nodes)).not.toContain('configMap')
})

test('managed-csi is the default, with the key of the cluster where there is one', () => {
  expect(classOf()).toMatchObject({
    metadata: {
      name: 'managed-csi',
      annotations: {'storageclass.kubernetes.io/is-default-class': 'true'},
    },
    parameters: {skuName: 'StandardSSD_LRS'},
    volumeBindingMode: 'WaitForFirstConsumer',
    allowVolumeExpansion: true,
  })
  const diskEncryptionSet =
    '/subscriptions/1/resourceGroups/keys/providers/Microsoft.Compute/diskEncryptionSets/k'
  expect(
    classOf(
      renderedIn('azure', azureDiskCsiAddon, {cloud: {diskEncryptionSet}, parameters: {sku: 'Premium_ZRS'}}),
    ),
  ).toMatchObject({parameters: {skuName: 'Premium_ZRS', diskEncryptionSetID: diskEncryptionSet}})
})
