import {expect, test, type TestContext} from 'vitest'
import {azureCloud} from '../../../../src/infrastructure/clouds/azure.ts'
import type {Cloud} from '../../../../src/infrastructure/clouds/cloud.ts'
import {sweep} from '../../../../src/workflows/cluster/sweep.ts'
import {type ArmResource, type FakeArm, fakeArm, SUBSCRIPTION} from '../../../support/fake-arm.ts'
import {recordingReport} from '../../../support/recording-report.ts'

const ROOT = `/subscriptions/${SUBSCRIPTION}`
const KEY = `ssh-ed25519 ${Buffer.concat([Buffer.from([0, 0, 0, 11]), Buffer.from('ssh-ed25519'), Buffer.from([0, 0, 0, 32]), Buffer.alloc(32, 7)]).toString('base64')}`

const claims = Buffer.from(JSON.stringify({upn: 'me@example.org', tid: 'tenant-1'})).toString('base64url')
const credential = {
  getToken: () => Promise.resolve({token: `x.${claims}.y`, expiresOnTimestamp: Date.now() + 3_600_000}),
}

const open = (arm: FakeArm, {signal}: TestContext, subscription?: string): Promise<Cloud> =>
  azureCloud({location: 'westeurope', subscription, signal, credential, httpClient: arm.httpClient})

function put(
  arm: FakeArm,
  group: string,
  type: string,
  name: string,
  more: Partial<ArmResource> = {},
): string {
  const id = `${ROOT}/resourceGroups/${group}/providers/${type}/${name}`
  arm.resources.set(id.toLowerCase(), {id, type, name, location: 'westeurope', ...more})
  return id
}

const ours = (name: string) => ({'clouder-cluster': name, 'clouder-managed-by': 'clouder'})

function makeCluster(arm: FakeArm, name: string): void {
  const group = `clouder-${name}`
  arm.groups.set(group, ours(name))
  put(arm, group, 'Microsoft.Compute/virtualMachines', 'cp-1', {tags: ours(name)})
  put(arm, group, 'Microsoft.Compute/disks', 'cp-1-os', {sku: {name: 'Premium_LRS'}})
  put(arm, group, 'Microsoft.Compute/disks', 'pvc-1', {tags: {'kubernetes.io-created-for-pvc-name': 'data'}})
  put(arm, group, 'Microsoft.Network/loadBalancers', 'kubernetes')
  put(arm, group, 'Microsoft.Network/virtualNetworks', 'net', {tags: ours(name)})
  // In a group of somebody else, in which there is something of the cluster.
  put(arm, 'shared', 'Microsoft.Network/networkInterfaces', `nic-${name}`, {tags: ours(name)})
  put(arm, 'shared', 'Microsoft.Network/publicIPAddresses', `ip-${name}`, {
    tags: {'k8s-azure-cluster-name': name},
  })
}

test('credentials tell whose they are; a subscription that they do not see is refused', async (context) => {
  const arm = fakeArm()
  arm.answers.set(`get ${ROOT}`, {
    status: 200,
    body: {id: ROOT, subscriptionId: SUBSCRIPTION, displayName: 'Production'},
  })
  const cloud = await open(arm, context, SUBSCRIPTION)
  expect(await cloud.identity(context.signal)).toEqual({
    kind: 'azure',
    account: SUBSCRIPTION,
    accountName: 'Production',
    principal: 'me@example.org of tenant tenant-1',
    region: 'westeurope',
  })
  const other = await open(arm, context, '99999999-2222-3333-4444-555555555555')
  await expect(other.identity(context.signal)).rejects.toMatchObject({code: 'ACCOUNT_MISMATCH'})
})

test('without a subscription it is the only one, and of several none is guessed', async (context) => {
  const arm = fakeArm()
  const one = {subscriptionId: SUBSCRIPTION, displayName: 'Production', state: 'Enabled'}
  const list = (value: readonly object[]) =>
    arm.answers.set('get /subscriptions', {status: 200, body: {value}})
  list([one, {...one, subscriptionId: 'off', state: 'Disabled'}])
  arm.answers.set(`get ${ROOT}`, {status: 200, body: one})
  expect((await (await open(arm, context)).identity(context.signal)).account).toBe(SUBSCRIPTION)
  list([one, {...one, subscriptionId: 'other', displayName: 'Development'}])
  await expect(open(arm, context)).rejects.toMatchObject({code: 'FLAG_MISSING'})
  list([])
  await expect(open(arm, context)).rejects.toThrow(/no access to any Azure subscription/)
})

test('all that is in the group of a cluster is its own, and what controllers tagged elsewhere', async (context) => {
  const arm = fakeArm()
  makeCluster(arm, 'demo')
  makeCluster(arm, 'other')
  // Of another cluster of that name, which clouder did not make.
  put(arm, 'MC_demo', 'Microsoft.Network/publicIPAddresses', 'theirs', {
    tags: {'k8s-azure-cluster-name': 'demo'},
  })
  const cloud = await open(arm, context, SUBSCRIPTION)
  const found = await cloud.findOwned('demo', context.signal)
  expect(found.map(({kind, name, madeBy, holdsData}) => `${kind} ${name} ${madeBy} ${holdsData}`)).toEqual([
    'load-balancer kubernetes controller false',
    'machine cp-1 clouder false',
    'address ip-demo controller false',
    'network-interface nic-demo clouder false',
    'volume cp-1-os controller false',
    'volume pvc-1 controller true',
    'network net clouder false',
    'resource-group clouder-demo clouder false',
  ])
  expect(await cloud.ownedClusters(context.signal)).toEqual(['demo', 'other'])
})

test('a sweep leaves nothing, takes the group last, and touches no other cluster', async (context) => {
  const network =
    `${ROOT}/resourceGroups/clouder-demo/providers/Microsoft.Network/virtualNetworks/net`.toLowerCase()
  const machine =
    `${ROOT}/resourceGroups/clouder-demo/providers/Microsoft.Compute/virtualMachines/cp-1`.toLowerCase()
  const arm = fakeArm({heldBy: {[network]: machine}})
  makeCluster(arm, 'demo')
  makeCluster(arm, 'other')
  const others = [...arm.resources.keys()].filter((id) => id.includes('other'))
  const cloud = await open(arm, context, SUBSCRIPTION)
  const tools = {report: recordingReport().report, signal: context.signal, now: () => 0}
  const options = {cluster: 'demo', cloud, scope: 'all', intervalMs: 10, timeoutMs: 5_000} as const
  const kept = await sweep({...options, keepData: true}, tools)
  expect(kept.kept.map(({name}) => name)).toEqual(['pvc-1', 'clouder-demo'])
  expect(arm.groups.has('clouder-demo')).toBe(true)
  const {left} = await sweep({...options, keepData: false}, tools)
  expect(left).toEqual([])
  expect([...arm.resources.keys()]).toEqual(others)
  expect([...arm.groups.keys()]).toEqual(['clouder-other'])
  expect(arm.removed.at(-1)).toBe(`${ROOT}/resourcegroups/clouder-demo`)
})

test('a group in which something still is does not go with it', async (context) => {
  const arm = fakeArm()
  makeCluster(arm, 'demo')
  const cloud = await open(arm, context, SUBSCRIPTION)
  const group = (await cloud.findOwned('demo', context.signal)).find(({kind}) => kind === 'resource-group')
  if (group === undefined) throw new TypeError('no group')
  expect(await cloud.remove(group, context.signal)).toBe('busy')
  expect(arm.removed).toEqual([])
})

test('host keys are read from the serial log of boot diagnostics', async (context) => {
  const arm = fakeArm()
  const id = put(arm, 'clouder-demo', 'Microsoft.Compute/virtualMachines', 'cp-1')
  const silent = put(arm, 'clouder-demo', 'Microsoft.Compute/virtualMachines', 'cp-2')
  const log = `-----BEGIN SSH HOST KEY KEYS-----\n${KEY} root@cp-1\n-----END SSH HOST KEY KEYS-----\n`
  const ask = (machine: string) => `post ${machine}/retrieveBootDiagnosticsData`.toLowerCase()
  arm.answers.set(ask(id), {
    status: 200,
    body: {serialConsoleLogBlobUri: `data:text/plain,${encodeURIComponent(log)}`},
  })
  arm.answers.set(ask(silent), {status: 200, body: {}})
  const making = put(arm, 'clouder-demo', 'Microsoft.Compute/virtualMachines', 'cp-3')
  arm.answers.set(ask(making), {status: 409, body: {error: {code: 'Conflict', message: 'it is being made'}}})
  const cloud = await open(arm, context, SUBSCRIPTION)
  expect(await cloud.hostKeys([id, silent, making], context.signal)).toEqual(new Map([[id, [KEY]]]))
  const refused = put(arm, 'clouder-demo', 'Microsoft.Compute/virtualMachines', 'cp-4')
  arm.answers.set(ask(refused), {status: 403, body: {error: {code: 'AuthorizationFailed', message: 'no'}}})
  await expect(cloud.hostKeys([refused], context.signal)).rejects.toMatchObject({code: 'CLOUD_REFUSED'})
})

const sku = (name: string, more: object = {}) => ({
  resourceType: 'virtualMachines',
  name,
  family: 'standardDSv5Family',
  locationInfo: [{location: 'westeurope', zones: ['2', '1']}],
  capabilities: [
    {name: 'vCPUs', value: '2'},
    {name: 'MemoryGB', value: '8'},
    {name: 'CpuArchitectureType', value: 'x64'},
  ],
  restrictions: [],
  ...more,
})

test('sizes, quotas, networks and images are judged before a plan', async (context) => {
  const arm = fakeArm()
  const closed = [{type: 'Location', reasonCode: 'NotAvailableForSubscription'}]
  arm.answers.set(`get ${ROOT}/providers/microsoft.compute/skus`, {
    status: 200,
    body: {
      value: [
        sku('Standard_D2s_v5'),
        sku('Standard_D4s_v5', {restrictions: closed}),
        {resourceType: 'disks'},
      ],
    },
  })
  arm.answers.set(`get ${ROOT}/providers/microsoft.compute/locations/westeurope/usages`, {
    status: 200,
    body: {
      value: [
        {
          name: {value: 'cores', localizedValue: 'Total Regional vCPUs'},
          currentValue: 8,
          limit: 10,
          unit: 'Count',
        },
        {name: {value: 'lowPriorityCores'}, currentValue: 0, limit: 100, unit: 'Count'},
      ],
    },
  })
  const network = `${ROOT}/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/corp`
  arm.answers.set(`get ${network}`.toLowerCase(), {
    status: 200,
    body: {id: network, name: 'corp', addressSpace: {addressPrefixes: ['10.240.0.0/13']}},
  })
  const cloud = await open(arm, context, SUBSCRIPTION)
  const sizes = await cloud.vmSizes(context.signal)
  expect(sizes[0]).toMatchObject({
    name: 'Standard_D2s_v5',
    vcpus: 2,
    memoryGiB: 8,
    arch: 'amd64',
    zones: ['1', '2'],
  })
  const machines = [
    {size: 'Standard_D2s_v5', count: 3, spot: false, zones: ['1', '3']},
    {size: 'Standard_D2s_v5', count: 9, spot: true, zones: []},
    {size: 'Standard_D4s_v5', count: 1, spot: false, zones: []},
    {size: 'Standard_X1', count: 1, spot: false, zones: []},
  ]
  const problems = await cloud.check(
    {machines, imageIds: ['Debian:debian-13:13-gen2:0.0.1'], networkId: network, cidrs: ['10.244.0.0/16']},
    context.signal,
  )
  expect(problems.map(({code, message}) => `${code} ${message}`)).toEqual([
    'SIZE_NOT_OFFERED machine size Standard_D2s_v5 is not offered in zone 3',
    'SIZE_NOT_OFFERED machine size Standard_X1 is not offered in westeurope',
    'SIZE_NOT_OFFERED machine size Standard_D4s_v5 is not available to this subscription in westeurope: NotAvailableForSubscription',
    'QUOTA_EXCEEDED 6 more vCPUs in westeurope exceed the quota "Total Regional vCPUs": 8 of 10 are in use',
    'NETWORK_OVERLAP 10.244.0.0/16 overlaps with virtual network corp (10.240.0.0/13)',
    'IMAGE_MISSING image Debian:debian-13:13-gen2:0.0.1 not found in westeurope: it was withdrawn, or this subscription has no access to it',
  ])
})

test('a refusal names the permission, an expired login and a dead line are told apart', async (context) => {
  const arm = fakeArm()
  const cloud = await open(arm, context, SUBSCRIPTION)
  const path = `get ${ROOT}/locations`
  const message =
    "The client 'x' does not have authorization to perform action 'Microsoft.Resources/x/read' over scope"
  arm.answers.set(path, {status: 403, body: {error: {code: 'AuthorizationFailed', message}}})
  await expect(cloud.regions(context.signal)).rejects.toMatchObject({
    code: 'CLOUD_REFUSED',
    message:
      'Azure denied Microsoft.Resources/subscriptions/locations/read: the permission Microsoft.Resources/x/read is missing',
  })
  arm.answers.set(path, {
    status: 401,
    body: {error: {code: 'ExpiredAuthenticationToken', message: 'expired'}},
  })
  await expect(cloud.regions(context.signal)).rejects.toMatchObject({code: 'CREDENTIALS_EXPIRED'})
  arm.answers.set(path, {status: 400, body: {error: {code: 'Odd', message: 'odd'}}})
  await expect(cloud.regions(context.signal)).rejects.toMatchObject({code: 'CLOUD_FAILED'})
})
