import {expect, test} from 'vitest'
import {awsEbsCsiAddon} from '../../../../src/platform/addons/aws-ebs-csi/addon.ts'
import {expectGolden, privilegesOf} from '../../../support/addon-golden.ts'
import {argumentsOf, cloudFacts, driverFaults, renderedIn} from '../../../support/cloud-addons.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const objects = renderedIn('aws', awsEbsCsiAddon)
const named = (kind: string, name: string, among = objects) =>
  among.find((object) => object.kind === kind && object.metadata.name === name)

test('the objects are as their golden file says', () => {
  expectGolden('aws-ebs-csi', objects)
  expect(driverFaults(awsEbsCsiAddon, objects)).toEqual([])
})

test('only the driver on nodes has the rights of the node, and none of its network', () => {
  expect(privilegesOf(objects)).toEqual([
    'Deployment aws-ebs-csi-controller: hostNetwork',
    'DaemonSet aws-ebs-csi-nodes: runs as root',
    'DaemonSet aws-ebs-csi-nodes: driver allows privilege escalation',
    'DaemonSet aws-ebs-csi-nodes: driver keeps capabilities',
  ])
})

test('volumes and snapshots get the tags by which the role may change them and terminate finds them', () => {
  const args = argumentsOf(objects, 'Deployment')
  expect(args).toContain('--k8s-tag-cluster-id=demo')
  expect(args).toContain('--extra-tags=clouder.dev/cluster=demo')
})

test('gp3 is encrypted, with the key of the cluster where there is one, and the default unless that is refused', () => {
  expect(named('StorageClass', 'gp3')).toMatchObject({
    metadata: {annotations: {'storageclass.kubernetes.io/is-default-class': 'true'}},
    parameters: {encrypted: 'true', type: 'gp3'},
    volumeBindingMode: 'WaitForFirstConsumer',
    allowVolumeExpansion: true,
  })
  const kmsKeyId = 'arn:aws:kms:eu-central-1:123456789012:key/1'
  const other = renderedIn('aws', awsEbsCsiAddon, {cloud: {kmsKeyId}, parameters: {isDefault: false}})
  expect(named('StorageClass', 'gp3', other)).toMatchObject({
    metadata: {annotations: {'storageclass.kubernetes.io/is-default-class': 'false'}},
    parameters: {encrypted: 'true', kmsKeyId},
  })
})

test('with several control planes there are two controllers, and a budget that keeps one', () => {
  const two = renderedIn('aws', awsEbsCsiAddon, {spec: 'controlPlane: {count: 3}'})
  expect(named('Deployment', 'aws-ebs-csi-controller', two)).toMatchObject({spec: {replicas: 2}})
  expect(named('PodDisruptionBudget', 'aws-ebs-csi-controller', two)).toBeDefined()
  expect(named('PodDisruptionBudget', 'aws-ebs-csi-controller')).toBeUndefined()
})

const volume = {
  apiVersion: 'v1',
  kind: 'PersistentVolume',
  metadata: {name: 'pv-1'},
  spec: {csi: {driver: 'ebs.csi.aws.com'}, claimRef: {namespace: 'shop', name: 'data'}},
}
const foreign = {...volume, metadata: {name: 'pv-2'}, spec: {csi: {driver: 'other'}}}
const waiting = {
  apiVersion: 'v1',
  kind: 'PersistentVolumeClaim',
  metadata: {namespace: 'shop', name: 'next'},
  spec: {storageClassName: 'gp3'},
}

test('it is in use while there is a volume of it, or a claim that waits for one', async () => {
  const kube = new FakeKube()
  expect(await awsEbsCsiAddon.usedBy?.(kube)).toEqual([])
  for (const object of [volume, foreign, waiting]) kube.put(object)
  expect(await awsEbsCsiAddon.usedBy?.(kube)).toEqual([
    'PersistentVolume pv-1 of claim shop/data is of driver ebs.csi.aws.com',
    'PersistentVolumeClaim shop/next waits for a volume of StorageClass gp3',
  ])
})

test('a node whose kubelet does not know the driver is not ready', async () => {
  const kube = new FakeKube()
  const node = (name: string, drivers: readonly string[]) => ({
    apiVersion: 'storage.k8s.io/v1',
    kind: 'CSINode',
    metadata: {name},
    spec: {drivers: drivers.map((driver) => ({name: driver}))},
  })
  kube.put(node('cp-1', ['ebs.csi.aws.com']))
  kube.put(node('worker-1', []))
  const problems = await awsEbsCsiAddon.ready(kube, {}, cloudFacts('aws'))
  expect(problems.map(({problem}) => problem)).toEqual([expect.stringContaining('node worker-1')])
})
