import {expect, test} from 'vitest'
import {gatewayAddon} from '../../../../src/platform/addons/gateway/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const objects = renderedBy(gatewayAddon)
const WITH_ALL = 'addons: {install: [cert-manager, metallb]}, workers: [{count: 3}]'

test('the objects are as their golden file says', () => {
  expectGolden('gateway', objects)
  expect(faultsOf(gatewayAddon, objects)).toEqual([])
  expect(privilegesOf(objects)).toEqual([])
})

test('with balancers and certificates they are as their golden file says', () => {
  const made = renderedBy(gatewayAddon, {spec: WITH_ALL, parameters: {hostname: '*.apps.example.com'}})
  expectGolden(
    'gateway-https',
    made.filter(({kind}) => ['Service', 'Gateway', 'PodDisruptionBudget'].includes(kind)),
  )
  expect(faultsOf(gatewayAddon, made)).toEqual([])
})

const parse = (parameters: object, spec = '') => gatewayAddon.schema(factsOf(spec).spec).safeParse(parameters)

test('HTTPS needs something that issues certificates', () => {
  expect(parse({hostname: 'a.example.com'}).error?.message).toContain('needs the addon cert-manager')
  expect(parse({hostname: 'a.example.com'}, WITH_ALL).success).toBe(true)
  expect(parse({hostname: 'a.example.com', issuer: 'mine'}).success).toBe(true)
})

test.for(['*', 'a', 'A.example.com', '*.*.example.com', 'https://a.example.com'])(
  'hostname %j is refused',
  (hostname) => {
    expect(parse({hostname}, WITH_ALL).success).toBe(false)
  },
)

test('it is in use while there is an Ingress of its class or of none', async () => {
  const kube = new FakeKube()
  const ingress = (name: string, spec: object) => ({
    apiVersion: 'networking.k8s.io/v1',
    kind: 'Ingress',
    metadata: {name, namespace: 'shop'},
    spec,
  })
  kube.put(ingress('mine', {ingressClassName: 'traefik'}))
  kube.put(ingress('default', {}))
  kube.put(ingress('other', {ingressClassName: 'nginx'}))
  for (const object of objects.filter(({kind}) => kind === 'Gateway')) kube.put(object)
  expect(await gatewayAddon.usedBy?.(kube)).toEqual([
    'Ingress shop/mine is served by it',
    'Ingress shop/default is served by it',
  ])
})

test('it is ready when Traefik serves its Gateway', async () => {
  const kube = new FakeKube()
  const [gateway] = objects.filter(({kind}) => kind === 'Gateway')
  if (gateway === undefined) throw new Error('there is no Gateway')
  const problems = async () => (await gatewayAddon.ready(kube, {}, factsOf())).map(({problem}) => problem)
  kube.put(gateway)
  expect(await problems()).toEqual(['Traefik has not accepted it yet'])
  kube.put({...gateway, status: {conditions: [{type: 'Programmed', status: 'False', message: 'no port'}]}})
  expect(await problems()).toEqual(['no port'])
  kube.put({...gateway, status: {conditions: [{type: 'Programmed', status: 'True'}]}})
  expect(await problems()).toEqual([])
})
