import {expect, test, type TestContext} from 'vitest'
import {azureCloud} from '../../../../src/infrastructure/clouds/azure.ts'
import type {CloudProblem} from '../../../../src/infrastructure/clouds/cloud.ts'
import {fakeArm, SUBSCRIPTION} from '../../../support/fake-arm.ts'

const ROOT = `/subscriptions/${SUBSCRIPTION}`
const FEATURE = `get ${ROOT}/providers/microsoft.features/providers/microsoft.compute/features/encryptionathost`
const credential = {getToken: () => Promise.resolve({token: 'x', expiresOnTimestamp: Date.now() + 3_600_000})}

interface Offer {
  /** Capabilities of the one size there is. */
  readonly facts: Readonly<Record<string, string>>
  /** Answer to who asks for the feature. */
  readonly feature: {readonly status: number; readonly body: unknown}
  readonly imageIds?: readonly string[]
}

const registered = {status: 200, body: {properties: {state: 'Registered'}}}

/** What is wrong with a machine of that size. */
async function problemsOf({signal}: TestContext, offer: Offer): Promise<readonly CloudProblem[]> {
  const {facts, feature, imageIds = []} = offer
  const arm = fakeArm()
  const capabilities = Object.entries({vCPUs: '2', ...facts}).map(([name, value]) => ({name, value}))
  const size = {
    resourceType: 'virtualMachines',
    name: 'Standard_B2s',
    family: 'standardBSFamily',
    capabilities,
  }
  arm.answers.set(`get ${ROOT}/providers/microsoft.compute/skus`, {status: 200, body: {value: [size]}})
  arm.answers.set(`get ${ROOT}/providers/microsoft.compute/locations/westeurope/usages`, {
    status: 200,
    body: {value: []},
  })
  arm.answers.set(FEATURE, feature)
  const image = 'Debian:debian-13:13:0.1'
  const images = `${ROOT}/providers/microsoft.compute/locations/westeurope/publishers/debian/artifacttypes/vmimage/offers/debian-13/skus/13/versions/0.1`
  arm.answers.set(`get ${images}`, {status: 200, body: {id: image}})
  const cloud = await azureCloud({
    location: 'westeurope',
    subscription: SUBSCRIPTION,
    signal,
    credential,
    httpClient: arm.httpClient,
  })
  const machines = [{size: 'Standard_B2s', count: 1, spot: false, zones: []}]
  return cloud.check({machines, imageIds, cidrs: []}, signal)
}

const fit = {EncryptionAtHostSupported: 'True', HyperVGenerations: 'V1,V2'}

test('a size that encrypts at its host and boots generation 2 is fit', async (context) => {
  expect(await problemsOf(context, {facts: fit, feature: registered})).toEqual([])
})

test('a size without encryption at its host is told, with a command that lists others', async (context) => {
  const facts = {...fit, EncryptionAtHostSupported: 'False'}
  const [problem, ...more] = await problemsOf(context, {facts, feature: registered})
  expect(more).toEqual([])
  expect(problem).toMatchObject({
    code: 'SIZE_NOT_OFFERED',
    message:
      'machine size Standard_B2s does not support encryption at host in westeurope, which clouder enables for all disks',
  })
  expect(problem?.suggestion).toContain('az vm list-skus --location westeurope')
  expect(problem?.suggestion).toContain("name=='EncryptionAtHostSupported' && value=='True'")
})

test('a size that boots generation 1 alone is told, unless the image is one’s own', async (context) => {
  const facts = {...fit, HyperVGenerations: 'V1'}
  const [problem] = await problemsOf(context, {facts, feature: registered})
  expect(problem).toMatchObject({
    code: 'SIZE_NOT_OFFERED',
    message: 'machine size Standard_B2s cannot boot generation 2 images; it supports V1',
  })
  const imageIds = ['Debian:debian-13:13:0.1']
  expect(await problemsOf(context, {facts, feature: registered, imageIds})).toEqual([])
})

test('a subscription without encryption at host is told, with the command that registers it', async (context) => {
  const feature = {status: 200, body: {properties: {state: 'NotRegistered'}}}
  const [problem] = await problemsOf(context, {facts: fit, feature})
  expect(problem).toMatchObject({
    code: 'FEATURE_MISSING',
    message: `the feature Microsoft.Compute/EncryptionAtHost is not registered in subscription ${SUBSCRIPTION}: its state is NotRegistered`,
  })
  expect(problem?.suggestion).toContain(
    'az feature register --namespace Microsoft.Compute --name EncryptionAtHost',
  )
})

test('who may not look at features is not held up by them', async (context) => {
  const feature = {status: 403, body: {error: {code: 'AuthorizationFailed', message: 'no'}}}
  expect(await problemsOf(context, {facts: fit, feature})).toEqual([])
})
