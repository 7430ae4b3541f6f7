import {expect, test} from 'vitest'
import {awsEfsCsiAddon} from '../../../../src/platform/addons/aws-efs-csi/addon.ts'
import {expectGolden, factsOf, privilegesOf} from '../../../support/addon-golden.ts'
import {cloudFacts, driverFaults, renderedIn} from '../../../support/cloud-addons.ts'

const objects = renderedIn('aws', awsEfsCsiAddon)

test('the objects are as their golden file says', () => {
  expectGolden('aws-efs-csi', objects)
  expect(driverFaults(awsEfsCsiAddon, objects)).toEqual([])
})

test('the driver mounts on nodes; its controller is root without capabilities', () => {
  expect(privilegesOf(objects)).toEqual([
    'Deployment aws-efs-csi-controller: hostNetwork',
    'Deployment aws-efs-csi-controller: runs as root',
    'Deployment aws-efs-csi-controller: driver writable root file system',
    'DaemonSet aws-efs-csi-nodes: hostNetwork',
    'DaemonSet aws-efs-csi-nodes: runs as root',
    'DaemonSet aws-efs-csi-nodes: driver allows privilege escalation',
    'DaemonSet aws-efs-csi-nodes: driver writable root file system',
    'DaemonSet aws-efs-csi-nodes: driver keeps capabilities',
  ])
})

test('every claim has a folder of its own on the file system of the cluster', () => {
  const found = objects.find(({kind}) => kind === 'StorageClass')
  expect(found).toMatchObject({
    parameters: {
      fileSystemId: 'fs-1',
      provisioningMode: 'efs-ap',
      subPathPattern: '${.PVC.namespace}/${.PVC.name}',
    },
    metadata: {annotations: {'storageclass.kubernetes.io/is-default-class': 'false'}},
  })
})

test('it needs a file system, and says how to get one', () => {
  const spec = 'provider: {kind: aws, aws: {region: eu-central-1}}, access: {adminCidrs: [203.0.113.0/24]}'
  expect(awsEfsCsiAddon.unavailable?.(factsOf(spec).spec)).toContain('spec.provider.aws.sharedFiles: true')
  expect(awsEfsCsiAddon.unavailable?.(factsOf().spec)).toContain('provider aws')
  expect(awsEfsCsiAddon.unavailable?.(cloudFacts('aws').spec)).toBeUndefined()
})
