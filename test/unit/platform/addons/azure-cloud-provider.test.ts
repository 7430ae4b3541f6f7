import {expect, test} from 'vitest'
import {azureCloudProviderAddon} from '../../../../src/platform/addons/azure-cloud-provider/addon.ts'
import {expectGolden, faultsOf, privilegesOf} from '../../../support/addon-golden.ts'
import {renderedIn} from '../../../support/cloud-addons.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const objects = renderedIn('azure', azureCloudProviderAddon)

test('the objects are as their golden file says', () => {
  expectGolden('azure-cloud-provider', objects)
  expect(faultsOf(azureCloudProviderAddon, objects)).toEqual([])
})

test('it shares the network of control planes, which have the identity, and has no other right on them', () => {
  expect(privilegesOf(objects)).toEqual(['DaemonSet azure-cloud-provider: hostNetwork'])
})

test('it acts as the identity of control planes, and there is no secret', () => {
  const map = objects.find(({kind}) => kind === 'ConfigMap')
  const {data} = Object(map) as {data: Record<string, string>}
  const configuration = JSON.parse(data['cloud.json'] ?? '') as Record<string, unknown>
  expect(configuration).toMatchObject({
    useManagedIdentityExtension: true,
    userAssignedIdentityID: '77777777-2222-3333-4444-555555555555',
    securityGroupName: 'demo-worker',
    clusterServiceLoadBalancerHealthProbeMode: 'servicenodeport',
  })
  expect(Object.keys(configuration)).not.toContain('aadClientSecret')
  expect(objects.map(({kind}) => kind)).not.toContain('Secret')
})

test('Services with its load balancers keep it', async () => {
  const kube = new FakeKube()
  const service = (name: string, spec: object) =>
    kube.put({apiVersion: 'v1', kind: 'Service', metadata: {namespace: 'shop', name}, spec})
  service('web', {type: 'LoadBalancer'})
  service('inside', {type: 'ClusterIP'})
  service('other', {type: 'LoadBalancer', loadBalancerClass: 'metallb'})
  expect(await azureCloudProviderAddon.usedBy?.(kube)).toEqual(['Service shop/web has a load balancer of it'])
})
