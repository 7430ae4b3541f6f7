import {spawnSync} from 'node:child_process'
import {expect, test} from 'vitest'
import {controlPlaneText, made, names, only, outputs, outputsSchema} from '../support/azure-made.ts'
import {blockOf, Found, textOf} from '../support/azure-rules/rule.ts'
import {azureSpec, azureStack, PUBLIC_KEY, richSpec} from '../support/azure-stack.ts'
import {elementsOf} from '../support/terraform-schema.ts'

test('machines go around the zones, and what stands before them is in all of them', () => {
  const found = made({zones: ['1', '2', '3']}, {controlPlane: {count: 3}})
  const zones = found.of('azurerm_linux_virtual_machine').map(({name, body}) => [name, body.zone])
  expect(zones).toEqual([
    ['cp-1', '1'],
    ['cp-2', '2'],
    ['cp-3', '3'],
    ['worker-1', '1'],
    ['worker-2', '2'],
    ['bastion', '1'],
  ])
  expect(only(found, 'azurerm_public_ip', 'api').zones).toEqual(['1', '2', '3'])
  expect(only(found, 'azurerm_storage_account', 'objects').account_replication_type).toBe('ZRS')
  const [first] = outputs({zones: ['1', '2', '3']}).machines.value
  expect(first?.labels['topology.kubernetes.io/zone']).toBe('westeurope-1')
})

test('spot machines may be taken back and are marked as such', () => {
  const pool = {workers: [{name: 'cheap', count: 1, spot: true, labels: {kind: 'batch'}}]}
  const machine = only(made({}, pool), 'azurerm_linux_virtual_machine', 'cheap-1')
  expect(machine).toMatchObject({priority: 'Spot', eviction_policy: 'Deallocate'})
  expect(machine.tags).toMatchObject({'clouder-spot': 'true'})
  const output = outputs({}, pool).machines.value.find(({name}) => name === 'cheap-1')
  expect(output?.labels).toMatchObject({kind: 'batch', 'clouder.dev/spot': 'true'})
})

test('disks are encrypted at the host, with the key of the user where there is one', () => {
  const set = '/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/diskEncryptionSets/d'
  const found = made({diskEncryptionSetId: set})
  for (const {body} of found.of('azurerm_linux_virtual_machine')) {
    expect(body.encryption_at_host_enabled).toBe(true)
    expect(blockOf(body.os_disk).disk_encryption_set_id).toBe(set)
  }
})

test('the console of every machine is kept, where its host keys are read', () => {
  const machines = made().of('azurerm_linux_virtual_machine')
  expect(machines).toHaveLength(4)
  for (const {body} of machines) expect(body.boot_diagnostics).toEqual({})
})

test('a provider id is as the cloud provider composes it: the resource group in lower case', () => {
  const [first] = outputs({resourceGroup: 'Shared-RG'}).machines.value
  expect(first?.providerId).toBe(
    'azure:///subscriptions/${lower(data.azurerm_client_config.current.subscription_id)}' +
      '/resourceGroups/shared-rg/providers/Microsoft.Compute/virtualMachines/cp-1',
  )
})

test('machines have the names of their nodes, as the cloud provider looks for them', () => {
  for (const {name, body} of made()
    .of('azurerm_linux_virtual_machine')
    .filter(({name}) => name !== 'bastion'))
    expect([body.name, body.computer_name]).toEqual([name, name])
})

test('an image is looked up once for each kind of processor, and what a machine was made from is an output', () => {
  const stack = azureStack(richSpec())
  const data = elementsOf(stack).filter(({type}) => type === 'azurerm_platform_image')
  expect(data.map(({name, body}) => [name, body.sku])).toEqual([
    ['amd64', '13-gen2'],
    ['arm64', '13-arm64'],
  ])
  const {machines} = outputsSchema.parse(stack).output
  expect(machines.value[0]?.imageId).toContain('${azurerm_linux_virtual_machine.cp-1.source_image_reference')
})

const IMAGES: readonly (readonly [string, string, string])[] = [
  ['debian-13', 'Debian:debian-13:13-gen2', 'Debian:debian-13:13-arm64'],
  ['debian-12', 'Debian:debian-12:12-gen2', 'Debian:debian-12:12-arm64'],
  ['ubuntu-24.04', 'Canonical:ubuntu-24_04-lts:server', 'Canonical:ubuntu-24_04-lts:server-arm64'],
  [
    'ubuntu-22.04',
    'Canonical:0001-com-ubuntu-server-jammy:22_04-lts-gen2',
    'Canonical:0001-com-ubuntu-server-jammy:22_04-lts-arm64',
  ],
]
for (const [image, ...wanted] of IMAGES) {
  test(`${image} is looked up as its maker publishes it`, () => {
    const pools = {workers: [{name: 'arm', count: 1, size: 'Standard_D4ps_v5'}]}
    const found = made({image}, pools).elements.filter(({type}) => type === 'azurerm_platform_image')
    expect(found.map(({body}) => [body.publisher, body.offer, body.sku].map(textOf).join(':'))).toEqual(
      wanted,
    )
  })
}

test('an image of the record is used without a look-up, by role and pool', () => {
  const imageIds = {
    'control-plane': 'Debian:debian-13:13-gen2:0.20260101.1',
    worker: '/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/mine',
  }
  const found = new Found(elementsOf(azureStack(azureSpec(), {imageIds})))
  expect(found.elements.filter(({type}) => type === 'azurerm_platform_image')).toEqual([])
  expect(only(found, 'azurerm_linux_virtual_machine', 'cp-1').source_image_reference).toEqual({
    publisher: 'Debian',
    offer: 'debian-13',
    sku: '13-gen2',
    version: '0.20260101.1',
  })
  expect(only(found, 'azurerm_linux_virtual_machine', 'worker-1').source_image_id).toBe(imageIds.worker)
})

test('an image that is neither a resource id nor four words is refused', () => {
  expect(() => azureStack(azureSpec({imageId: 'debian-13'}))).toThrow('debian-13 is neither a resource id')
})

test('a newer image or another cloud-init does not replace machines that are there', () => {
  for (const {body} of made().of('azurerm_linux_virtual_machine'))
    expect(body.lifecycle).toEqual({
      ignore_changes: ['custom_data', 'source_image_id', 'source_image_reference'],
    })
})

test('no address in Terraform begins with a digit', () => {
  const found = made({}, {workers: [{name: '3d', count: 1}]})
  expect(names(found, 'azurerm_linux_virtual_machine')).toContain('_3d-1')
  expect(only(found, 'azurerm_linux_virtual_machine', '_3d-1').name).toBe('3d-1')
})

test('a worker gets the cloud-init of the cluster, a control plane more: its own API by the address of the balancer', () => {
  const worker = textOf(only(made(), 'azurerm_linux_virtual_machine', 'worker-1').custom_data)
  const cloudInit = Buffer.from(worker, 'base64').toString('utf8')
  expect(cloudInit).toMatch(/^#cloud-config\n/)
  const text = controlPlaneText('10.0.0.9')
  const [, boundary = ''] = /boundary="(.+)"/.exec(text) ?? []
  const parts = text.split(`--${boundary}`)
  expect(parts).toHaveLength(4)
  expect(parts[1]).toBe(`\nContent-Type: text/plain; charset="utf-8"\n\n${cloudInit}\n`)
  expect(parts[3]).toBe('--\n')
  const script = (parts[2] ?? '').replace(/^\n.*\n\n/, '')
  expect(script).toMatch(/^#!\/bin\/sh\n/)
  expect(script).toContain('ip address replace 10.0.0.9/32 dev lo')
  expect(script).not.toContain('@')
  const inner = /<<'END'\n(.*?)END\n/s.exec(script)?.[1] ?? ''
  for (const one of [script, inner]) {
    const {status, stderr} = spawnSync('bash', ['-n'], {input: one, encoding: 'utf8'})
    expect([status, stderr]).toEqual([0, ''])
  }
})

test('the key of the cluster is on every machine, and nothing secret is anywhere', () => {
  const stack = azureStack(richSpec())
  for (const {body} of new Found(elementsOf(stack)).of('azurerm_linux_virtual_machine'))
    expect(blockOf(body.admin_ssh_key)).toEqual({username: 'clouder', public_key: PUBLIC_KEY})
  expect(JSON.stringify(stack)).not.toMatch(/client_secret|access_key"|password"|sas_token|PRIVATE KEY/)
})
