import {expect, test} from 'vitest'
import {certManagerAddon} from '../../../../src/platform/addons/cert-manager/addon.ts'
import {expectGolden, factsOf, faultsOf, privilegesOf, renderedBy} from '../../../support/addon-golden.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const objects = renderedBy(certManagerAddon)

test('the objects are as their golden file says', () => {
  expectGolden('cert-manager', objects)
  expect(faultsOf(certManagerAddon, objects)).toEqual([])
  expect(privilegesOf(objects)).toEqual([])
})

test('issuers of the parameters are as their golden file says', () => {
  const acme = {
    email: 'ops@example.com',
    solvers: [
      {http01: {gateway: {name: 'clouder', namespace: 'gateway'}}},
      {dnsZones: ['example.com'], dns01: {route53: {region: 'eu-central-1'}}},
    ],
  }
  const issuers = [
    {name: 'letsencrypt', acme},
    {name: 'company', ca: {secretName: 'company-ca'}},
  ]
  const made = renderedBy(certManagerAddon, {parameters: {issuers}})
  expectGolden(
    'cert-manager-issuers',
    made.filter(({kind}) => kind === 'ClusterIssuer'),
  )
})

test.for([
  [{name: 'x'}, 'expected one of ca and acme'],
  [{name: 'cluster-ca', ca: {secretName: 'x'}}, 'are always there'],
  [{name: 'x', acme: {email: 'a@b.example', solvers: [{}]}}, 'expected one of http01 and dns01'],
  [{name: 'x', acme: {email: 'a@b.example', solvers: [{http01: {}}]}}, 'expected one of gateway'],
  [{name: 'x', acme: {email: 'a@b.example', solvers: [{dns01: {}}]}}, 'expected one of route53'],
  [
    {
      name: 'x',
      acme: {email: 'a@b.example', server: 'http://x.example', solvers: [{http01: {ingressClassName: 'x'}}]},
    },
    'Invalid URL',
  ],
] as const)('issuer %j: %s', ([issuer, problem]) => {
  const parsed = certManagerAddon.schema(factsOf().spec).safeParse({issuers: [issuer]})
  expect(parsed.error?.message).toContain(problem)
})

test('Gateways get certificates where the addon for them is selected', () => {
  const text = (spec: string) => JSON.stringify(renderedBy(certManagerAddon, {spec}))
  expect(text('addons: {install: [gateway]}')).toContain('--enable-gateway-api')
  expect(text('')).not.toContain('--enable-gateway-api')
})

test('it is in use while there are certificates of others', async () => {
  const kube = new FakeKube()
  const certificate = (name: string, labels: Record<string, string>) => ({
    apiVersion: 'cert-manager.io/v1',
    kind: 'Certificate',
    metadata: {name, namespace: 'shop', labels},
    spec: {},
  })
  for (const object of objects.filter(({kind}) => kind === 'ClusterIssuer')) kube.put(object)
  kube.put(certificate('cluster-ca', {'clouder.dev/addon': 'cert-manager'}))
  expect(await certManagerAddon.usedBy?.(kube)).toEqual([])
  kube.put(certificate('web', {}))
  expect(await certManagerAddon.usedBy?.(kube)).toEqual([
    'Certificate shop/web would be deleted with its kind',
  ])
})
