import {expect, test} from 'vitest'
import {awsCloudProviderAddon} from '../../../../src/platform/addons/aws-cloud-provider/addon.ts'
import {expectGolden, faultsOf, privilegesOf} from '../../../support/addon-golden.ts'
import {cloudFacts, renderedIn} from '../../../support/cloud-addons.ts'

const objects = renderedIn('aws', awsCloudProviderAddon)
const text = JSON.stringify(objects)

test('the objects are as their golden file says', () => {
  expectGolden('aws-cloud-provider', objects)
  expect(faultsOf(awsCloudProviderAddon, objects)).toEqual([])
})

test('it shares the network of control planes, which have the role, and has no other right on them', () => {
  expect(privilegesOf(objects)).toEqual(['DaemonSet aws-cloud-provider: hostNetwork'])
  expect(text).toContain('"nodeSelector":{"node-role.kubernetes.io/control-plane":""}')
})

test('it answers for no Service unless that is asked for, and sees none', () => {
  expect(text).toContain('cloud-node-controller,cloud-node-lifecycle-controller"')
  expect(text).not.toContain('"services"')
  const asked = JSON.stringify(renderedIn('aws', awsCloudProviderAddon, {parameters: {loadBalancers: true}}))
  expect(asked).toContain('cloud-node-lifecycle-controller,service-lb-controller')
  expect(asked).toContain('"services"')
})

test('a record that says nothing of the cloud is refused with what helps', () => {
  const {cloud: _, ...facts} = cloudFacts('aws')
  expect(() => awsCloudProviderAddon.objects({}, {...facts, cloud: {}})).toThrow(
    expect.objectContaining({
      code: 'ADDON_UNAVAILABLE',
      suggestions: [expect.stringContaining('clouder kubeadm init demo')],
    }),
  )
})
