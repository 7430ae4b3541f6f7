import {expect, test} from 'vitest'
import {awsLoadBalancerControllerAddon} from '../../../../src/platform/addons/aws-load-balancer-controller/addon.ts'
import {expectGolden, faultsOf, privilegesOf} from '../../../support/addon-golden.ts'
import {argumentsOf, cloudFacts, renderedIn} from '../../../support/cloud-addons.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const addon = awsLoadBalancerControllerAddon
const objects = renderedIn('aws', addon)

test('the objects are as their golden file says', () => {
  expectGolden('aws-load-balancer-controller', objects)
  expect(faultsOf(addon, objects)).toEqual([])
})

test('it shares the network of control planes, which have the role, and has no other right on them', () => {
  expect(privilegesOf(objects)).toEqual(['DaemonSet aws-load-balancer-controller: hostNetwork'])
})

test('its flags are those that the policies of the stack allow for', () => {
  const args = argumentsOf(objects, 'DaemonSet')
  for (const flag of [
    '--cluster-name=demo',
    '--backend-security-group=sg-balancer',
    '--enable-waf=false',
    '--enable-wafv2=false',
    '--enable-shield=false',
    '--default-load-balancer-scheme=internal',
  ])
    expect(args).toContain(flag)
  // With it, what the controller makes would count as made by the stack, and be removed too late.
  expect(args.join(' ')).not.toContain('clouder.dev/cluster')
})

test('no Service or Ingress that is not for it waits for its webhooks', () => {
  const hooks = objects
    .filter(({kind}) => kind.endsWith('WebhookConfiguration'))
    .flatMap((object) => object['webhooks'] as {name: string; matchConditions?: {expression: string}[]}[])
  const conditions = Object.fromEntries(
    hooks.map(({name, matchConditions = []}) => [name, matchConditions.map(({expression}) => expression)]),
  )
  expect(conditions['mservice.elbv2.k8s.aws']).toEqual(["object.spec.type == 'LoadBalancer'"])
  expect(conditions['vingress.elbv2.k8s.aws']?.[0]).toContain("== 'alb'")
})

test('it is not ready before the API server can trust its webhooks', async () => {
  const kube = new FakeKube()
  const configuration = (kind: string, caBundle: string | undefined) => ({
    apiVersion: 'admissionregistration.k8s.io/v1',
    kind,
    metadata: {name: addon.id},
    webhooks: [{name: 'a', clientConfig: caBundle === undefined ? {} : {caBundle}}],
  })
  kube.put(configuration('MutatingWebhookConfiguration', 'LS0t'))
  kube.put(configuration('ValidatingWebhookConfiguration', undefined))
  const notReady = () => addon.ready(kube, {}, cloudFacts('aws'))
  expect((await notReady()).map(({ref}) => ref.kind)).toEqual(['ValidatingWebhookConfiguration'])
  kube.put(configuration('ValidatingWebhookConfiguration', 'LS0t'))
  expect(await notReady()).toEqual([])
})

test('Services and Ingresses with its load balancers keep it', async () => {
  const kube = new FakeKube()
  const object = (apiVersion: string, kind: string, name: string, spec: object) =>
    kube.put({apiVersion, kind, metadata: {namespace: 'shop', name}, spec})
  object('v1', 'Service', 'web', {type: 'LoadBalancer', loadBalancerClass: 'service.k8s.aws/nlb'})
  object('v1', 'Service', 'other', {type: 'LoadBalancer', loadBalancerClass: 'metallb'})
  object('networking.k8s.io/v1', 'Ingress', 'site', {ingressClassName: 'alb'})
  expect(await addon.usedBy?.(kube)).toEqual([
    'Service shop/web has a load balancer of it',
    'Ingress shop/site uses IngressClass alb',
  ])
})
