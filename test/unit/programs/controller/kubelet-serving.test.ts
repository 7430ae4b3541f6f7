import {Registry} from 'prom-client'
import {expect, test} from 'vitest'
import {parseCertificateRequest} from '../../../../src/programs/controller/certificate-request.ts'
import {kubeletServingReconciler, refusal} from '../../../../src/programs/controller/kubelet-serving.ts'
import {controllerMetrics} from '../../../../src/programs/controller/metrics.ts'
import {ConflictError} from '../../../../src/kubernetes/conflict.ts'
import type {ReconcileContext} from '../../../../src/programs/controller/reconcile-context.ts'
import type {KubeObject} from '../../../../src/kubernetes/types.ts'
import {certificateRequests} from '../../../support/certificate-requests.ts'
import {controllerScene} from '../../../support/controller-scene.ts'
import {FakeKube} from '../../../support/fake-kube.ts'

const node = (name: string, ...addresses: string[]): KubeObject => ({
  apiVersion: 'v1',
  kind: 'Node',
  metadata: {name},
  status: {addresses: addresses.map((address) => ({type: 'InternalIP', address}))},
})
const nodes = [
  node('cp-1', '10.0.0.2'),
  node('worker-1', '10.0.0.3', 'fd00::3'),
  node('worker-2', '10.0.0.4'),
]
const around = {nodes, reserved: ['10.96.0.1']}
const specOf = (pem: string) => ({
  request: Buffer.from(pem).toString('base64'),
  signerName: 'kubernetes.io/kubelet-serving',
  username: 'system:node:worker-1',
  groups: ['system:nodes', 'system:authenticated'],
  usages: ['digital signature', 'server auth'],
})

test('a request is read with its subject, names and addresses', () => {
  expect(parseCertificateRequest(certificateRequests.own)).toEqual({
    commonName: 'system:node:worker-1',
    organisations: ['system:nodes'],
    dnsNames: ['worker-1'],
    ipAddresses: ['0a000003'],
  })
})

for (const name of ['own', 'ipv6'] as const)
  test(`a node may serve with its own name and address: ${name}`, () => {
    expect(refusal(specOf(certificateRequests[name]), around)).toBeUndefined()
  })

const refused = {
  foreignAddress: /does not belong to this node only/,
  serviceAddress: /does not belong to this node only/,
  foreignName: /kubernetes\.default\.svc is not the name/,
  uri: /cannot be parsed/,
  nothing: /no DNS name and no IP address/,
  otherNode: /subject/,
  masters: /subject/,
} as const
for (const name of [
  'foreignAddress',
  'serviceAddress',
  'foreignName',
  'uri',
  'nothing',
  'otherNode',
  'masters',
] as const)
  test(`a request for something else is not approved: ${name}`, () => {
    expect(refusal(specOf(certificateRequests[name]), around)).toMatch(refused[name])
  })

test('an address that a node says it has, and another one or the API server has too, is not its own', () => {
  const claims = [node('cp-1', '10.0.0.2'), node('worker-1', '10.0.0.3', '10.0.0.2', '10.96.0.1')]
  for (const name of ['foreignAddress', 'serviceAddress'] as const)
    expect(refusal(specOf(certificateRequests[name]), {...around, nodes: claims})).toMatch(
      /to this node only/,
    )
})

test('an address that nobody has is not its own either', () => {
  const alone = {nodes: [node('worker-1', '10.0.0.3')], reserved: []}
  expect(refusal(specOf(certificateRequests.foreignAddress), alone)).toMatch(/to this node only/)
})

test('who asks, and what for, must be a node that serves', () => {
  const spec = specOf(certificateRequests.own)
  expect(refusal({...spec, username: 'system:serviceaccount:x:y'}, around)).toMatch(/requester is not a node/)
  expect(refusal({...spec, groups: ['system:authenticated']}, around)).toMatch(/requester is not a node/)
  expect(refusal({...spec, usages: ['server auth', 'client auth']}, around)).toMatch(
    /not those of a serving certificate/,
  )
  expect(refusal({...spec, usages: []}, around)).toMatch(/not those of a serving certificate/)
  expect(refusal(spec, {...around, nodes: []})).toMatch(/node worker-1 not found/)
})

test('a request that is cut short or garbage is not approved', () => {
  const der = Buffer.from(certificateRequests.own.replaceAll(/-----.*-----|\s/g, ''), 'base64')
  for (let length = 0; length < der.length; length += 1) {
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${der.subarray(0, length).toString('base64')}\n-----END CERTIFICATE REQUEST-----\n`
    expect(refusal(specOf(pem), around), `${length} bytes`).toMatch(/cannot be parsed/)
  }
  expect(refusal(specOf('no request'), around)).toMatch(/cannot be parsed/)
})

test('the controller approves what the rule allows, and leaves other requests to others', async () => {
  const scene = controllerScene()
  for (const object of nodes) scene.kube.put(object)
  const request = (name: string, spec: object): KubeObject => ({
    apiVersion: 'certificates.k8s.io/v1',
    kind: 'CertificateSigningRequest',
    metadata: {name},
    spec,
  })
  scene.kube.put(request('right', specOf(certificateRequests.own)))
  scene.kube.put(request('wrong', specOf(certificateRequests.foreignName)))
  const spec = specOf(certificateRequests.own)
  scene.kube.put(request('client', {...spec, signerName: 'kubernetes.io/kube-apiserver-client'}))
  await scene.play({forMs: 60_000})
  const approved = async (name: string): Promise<unknown> =>
    (await scene.kube.get({apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', name}))?.[
      'status'
    ]
  expect(await approved('right')).toMatchObject({conditions: [{type: 'Approved', status: 'True'}]})
  expect(await approved('wrong')).toBeUndefined()
  expect(await approved('client')).toBeUndefined()
  await scene.end()
})

test('a request is approved as it was read, and not another one that took its name since', async () => {
  const kube = new FakeKube()
  const ref = {apiVersion: 'certificates.k8s.io/v1', kind: 'CertificateSigningRequest', name: 'right'}
  const put = (request: string): void => kube.put({...ref, metadata: {name: ref.name}, spec: specOf(request)})
  put(certificateRequests.own)
  const read = await kube.get(ref)
  if (read === undefined) throw new Error('no request')
  put(certificateRequests.foreignName)
  const context: ReconcileContext = {
    kube,
    component: 'clouder-controller',
    objects: {get: () => undefined, list: () => nodes, unreadable: () => []},
    openStore: () => Promise.reject(new Error('no store here')),
    usageOf: () => Promise.reject(new Error('no agent here')),
    metrics: controllerMetrics(new Registry()),
    log: () => undefined,
    now: Date.now,
    signal: new AbortController().signal,
  }
  await expect(kubeletServingReconciler.reconcile(read, context)).rejects.toThrow(ConflictError)
  expect((await kube.get(ref))?.['status']).toBeUndefined()
})
