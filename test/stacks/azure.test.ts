import {spawnSync} from 'node:child_process'
import {join} from 'node:path'
import {expect, test} from 'vitest'
import {z} from 'zod'
import {machineSchema} from '../../src/spec/machine.ts'
import {expectGoldenFile} from '../templates/golden.ts'
import {blockOf, type Body, Found, textOf, textsOf} from '../support/azure-rules/rule.ts'
import {
  type AzureSettings,
  azureSpec,
  azureStack,
  BROUGHT,
  PUBLIC_KEY,
  richSpec,
} from '../support/azure-stack.ts'
import {elementsOf} from '../support/terraform-schema.ts'

const made = (azure: AzureSettings = {}, rest: AzureSettings = {}): Found =>
  new Found(elementsOf(azureStack(azureSpec(azure, rest))))

const names = (found: Found, type: string): readonly string[] => found.of(type).map(({name}) => name)

function only(found: Found, type: string, name: string): Body {
  const element = found.of(type).find((one) => one.name === name)
  expect(element, `${type}.${name}`).toBeDefined()
  return element?.body ?? {}
}

const outputsSchema = z.object({
  output: z.object({
    machines: z.object({
      value: z.array(
        machineSchema.extend({cloudId: z.string(), imageId: z.string(), providerId: z.string()}),
      ),
    }),
    endpoint: z.object({
      value: z.strictObject({internal: z.string(), external: z.string(), certSans: z.array(z.string())}),
    }),
    bastion: z
      .object({value: z.strictObject({address: z.string(), user: z.string(), cloudId: z.string()})})
      .optional(),
    checkpoints: z.object({value: z.string()}),
    addons: z.object({value: z.record(z.string(), z.string())}),
  }),
})
const outputs = (azure: AzureSettings = {}, rest: AzureSettings = {}) =>
  outputsSchema.parse(azureStack(azureSpec(azure, rest))).output

const GOLDENS: readonly (readonly [string, ReturnType<typeof azureSpec>])[] = [
  ['default', azureSpec()],
  ['everything', richSpec()],
  [
    'brought',
    azureSpec(
      {
        subscription: '11111111-2222-3333-4444-555555555555',
        resourceGroup: 'Shared-RG',
        network: {mode: 'public', existing: BROUGHT},
        api: 'internal',
        image: 'ubuntu-24.04',
      },
      {
        state: {
          backend: 'azurerm',
          azurerm: {resourceGroup: 'tf', storageAccount: 'acc', container: 'state'},
        },
      },
    ),
  ],
]
for (const [name, spec] of GOLDENS) {
  test(`the whole stack is as its golden file says: ${name}`, () => {
    const file = join(import.meta.dirname, 'golden', `azure-${name}.json`)
    expectGoldenFile(file, `${JSON.stringify(azureStack(spec), undefined, 2)}\n`)
  })
}

test('private nodes have no public address and go out by a gateway that is there before them', () => {
  const found = made()
  expect(names(found, 'azurerm_public_ip').toSorted()).toEqual(['api', 'bastion', 'nat'])
  expect(only(found, 'azurerm_linux_virtual_machine', 'worker-1').depends_on).toEqual([
    'azurerm_nat_gateway_public_ip_association.nat',
    'azurerm_subnet_nat_gateway_association.nodes',
  ])
})

test('public nodes have an address each, and neither gateway nor jump host', () => {
  const found = made({network: {mode: 'public'}})
  expect(names(found, 'azurerm_public_ip').toSorted()).toEqual(['api', 'cp-1', 'worker-1', 'worker-2'])
  expect(found.of('azurerm_nat_gateway')).toEqual([])
  const output = outputs({network: {mode: 'public'}})
  expect(output.machines.value[0]?.address).toBe('${azurerm_public_ip.cp-1.ip_address}')
  expect(output.machines.value[0]?.privateAddress).toBe(
    '${azurerm_network_interface.cp-1.private_ip_address}',
  )
  expect(output.bastion).toBeUndefined()
})

test('SSH comes from administrators to the jump host alone, and from there to nodes', () => {
  const rules = made()
    .of('azurerm_network_security_rule')
    .filter(({body}) => body.destination_port_range === '22')
  const ways = rules.map(({name, body}) => [
    name,
    ...textsOf(body.source_address_prefixes),
    ...textsOf(body.source_application_security_group_ids),
  ])
  const jump = '${azurerm_application_security_group.bastion.id}'
  expect(ways).toEqual([
    ['bastion-tcp-22-from-administrators', '203.0.113.0/24'],
    ['control-plane-tcp-22-from-machines', jump],
    ['worker-tcp-22-from-machines', jump],
  ])
})

test('without a jump host administrators reach nodes from inside the network', () => {
  const found = made({bastion: 'none'})
  const rules = found
    .of('azurerm_network_security_rule')
    .filter(({body}) => body.destination_port_range === '22')
  expect(rules.map(({name}) => name)).toEqual([
    'control-plane-tcp-22-from-administrators',
    'worker-tcp-22-from-administrators',
  ])
  expect(names(found, 'azurerm_linux_virtual_machine')).not.toContain('bastion')
})

test('etcd listens to control planes only, and node ports to probes only', () => {
  const found = made()
  const etcd = only(found, 'azurerm_network_security_rule', 'control-plane-tcp-2379-from-machines')
  expect(etcd.source_application_security_group_ids).toEqual([
    '${azurerm_application_security_group.control-plane.id}',
  ])
  const ports = only(found, 'azurerm_network_security_rule', 'worker-tcp-30000-from-balancer')
  expect(ports).toMatchObject({
    destination_port_range: '30000-32767',
    source_address_prefix: 'AzureLoadBalancer',
  })
})

test('a rule keeps its number whatever else is asked for', () => {
  const numbers = [made(), made({bastion: 'none'}), made({}, {network: {cni: 'none'}})].map((found) =>
    found
      .of('azurerm_network_security_rule')
      .filter(({name}) => /worker-(tcp-10250|refuse)/.test(name))
      .map(({name, body}) => [name, body.priority]),
  )
  expect(numbers[0]).toHaveLength(2)
  expect(numbers[1]).toEqual(numbers[0])
  expect(numbers[2]).toEqual(numbers[0])
})

test('our numbers of rules leave those from 500 to the cloud provider of Kubernetes', () => {
  const numbers = new Found(elementsOf(azureStack(richSpec())))
    .of('azurerm_network_security_rule')
    .filter(({body}) => body.access === 'Allow')
    .map(({body}) => Number(body.priority))
  expect(Math.max(...numbers)).toBeLessThan(500)
})

test('the whole world is let in only where the spec allows it', () => {
  const world = {access: {adminCidrs: ['0.0.0.0/0'], allowWorld: true}}
  const rule = only(made({}, world), 'azurerm_network_security_rule', 'bastion-tcp-22-from-administrators')
  expect(rule.source_address_prefixes).toEqual(['0.0.0.0/0'])
  const spec = azureSpec({}, world)
  const silent = {...spec, access: {...spec.access, allowWorld: false}}
  expect(() => azureStack(silent)).toThrow('0.0.0.0/0 without spec.access.allowWorld')
})

test('an API for the inside has no public balancer, and its endpoint stays the internal one', () => {
  const found = made({api: 'internal'})
  expect(names(found, 'azurerm_lb')).toEqual(['api-internal'])
  expect(outputs({api: 'internal'}).endpoint.value).toEqual({
    internal: '${azurerm_lb.api-internal.private_ip_address}:6443',
    external: '${azurerm_lb.api-internal.private_ip_address}:6443',
    certSans: ['${azurerm_lb.api-internal.private_ip_address}'],
  })
})

test('nodes use the internal address of the API, administrators the public one', () => {
  expect(outputs().endpoint.value).toEqual({
    internal: '${azurerm_lb.api-internal.private_ip_address}:6443',
    external: '${azurerm_public_ip.api.ip_address}:6443',
    certSans: ['${azurerm_lb.api-internal.private_ip_address}', '${azurerm_public_ip.api.ip_address}'],
  })
})

test('an endpoint of the user is kept, and the certificate names the balancers too', () => {
  const {endpoint} = outputs({}, {api: {endpoint: 'k8s.example.com'}})
  expect(endpoint.value.internal).toBe('k8s.example.com:6443')
  expect(endpoint.value.external).toBe('k8s.example.com:6443')
  expect(endpoint.value.certSans).toContain('k8s.example.com')
  expect(endpoint.value.certSans).toHaveLength(3)
})

test('every control plane stands behind both balancers, and no worker does', () => {
  const found = made({}, {controlPlane: {count: 3}})
  expect(names(found, 'azurerm_network_interface_backend_address_pool_association')).toEqual([
    'cp-1-api-internal',
    'cp-1-api',
    'cp-2-api-internal',
    'cp-2-api',
    'cp-3-api-internal',
    'cp-3-api',
  ])
})

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

test('a network that was brought is used as it is', () => {
  const found = made({network: {existing: BROUGHT}})
  for (const type of ['virtual_network', 'subnet', 'nat_gateway', 'subnet_nat_gateway_association'])
    expect(names(found, `azurerm_${type}`), type).toEqual([])
  const subnetOf = (name: string) =>
    blockOf(only(found, 'azurerm_network_interface', name).ip_configuration).subnet_id
  expect(subnetOf('cp-1')).toBe(BROUGHT.subnetId)
  expect(subnetOf('bastion')).toBe(BROUGHT.bastionSubnetId)
  expect(only(found, 'azurerm_role_assignment', 'subnet').scope).toBe(BROUGHT.subnetId)
  const {addons} = outputs({network: {existing: BROUGHT}})
  expect(addons.value).toMatchObject({vnet: 'Hub', vnetResourceGroup: 'Net', subnet: 'nodes'})
})

test('a resource group that exists is looked up, not made', () => {
  const found = made({resourceGroup: 'Shared'})
  expect(found.of('azurerm_resource_group')).toEqual([])
  expect(only(found, 'azurerm_network_security_group', 'worker').resource_group_name).toBe(
    '${data.azurerm_resource_group.cluster.name}',
  )
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

test('workers get checkpoints and nothing else; control planes the network and disks too', () => {
  const grants = made({sharedFiles: true}).of('azurerm_role_assignment')
  const of = (role: string) =>
    grants
      .filter(({body}) => body.principal_id === `\${azurerm_user_assigned_identity.${role}.principal_id}`)
      .map(({name}) => name)
  expect(of('worker')).toEqual(['checkpoints-worker'])
  expect(of('control-plane')).toEqual([
    'cloud-provider',
    'disks',
    'checkpoints-control-plane',
    'backups-control-plane',
    'files',
  ])
})

test('checkpoints and backups lie in private containers and go after the days that the spec says', () => {
  const found = made({checkpointRetentionDays: 7})
  for (const name of ['checkpoints', 'backups'])
    expect(only(found, 'azurerm_storage_container', name).container_access_type).toBe('private')
  const [rule] = [blockOf(only(found, 'azurerm_storage_management_policy', 'objects').rule)]
  expect(blockOf(blockOf(rule.actions).base_blob).delete_after_days_since_modification_greater_than).toBe(7)
  expect(outputs().checkpoints.value).toBe('${azurerm_storage_account.objects.name}/checkpoints')
})

test('shared files are made only where they are asked for', () => {
  expect(names(made(), 'azurerm_storage_share')).toEqual([])
  expect(names(made({sharedFiles: true}), 'azurerm_storage_share')).toEqual(['shared'])
})

test('what holds data is not deleted by Terraform where the deletion policy is to retain it', () => {
  const protectedIn = (found: Found) =>
    found.elements
      .filter(({body}) => blockOf(body.lifecycle).prevent_destroy === true)
      .map(({type, name}) => `${type}.${name}`)
  expect(protectedIn(made({sharedFiles: true}))).toEqual([])
  expect(protectedIn(made({sharedFiles: true, deletionPolicy: 'retain'})).toSorted()).toEqual([
    'azurerm_resource_group.cluster',
    'azurerm_storage_account.files',
    'azurerm_storage_account.objects',
    'azurerm_storage_container.backups',
    'azurerm_storage_container.checkpoints',
    'azurerm_storage_share.shared',
  ])
})

test('tags of the user stand beside ours and have no say over them, nor over Terraform', () => {
  const tags = {team: '${file("/etc/passwd")}', 'clouder-cluster': 'other', '%{x}': 'y'}
  expect(only(made({tags}), 'azurerm_resource_group', 'cluster').tags).toEqual({
    team: '$${file("/etc/passwd")}',
    '%%{x}': 'y',
    'clouder-cluster': 'demo',
    'clouder-managed-by': 'clouder',
  })
})

test('no address in Terraform begins with a digit', () => {
  const found = made({}, {workers: [{name: '3d', count: 1}]})
  expect(names(found, 'azurerm_linux_virtual_machine')).toContain('_3d-1')
  expect(only(found, 'azurerm_linux_virtual_machine', '_3d-1').name).toBe('3d-1')
})

/** What Terraform makes of `base64encode(replace(base64decode("…"), "@API_ADDRESS@", …))`. */
function controlPlaneText(address: string): string {
  const data = textOf(only(made(), 'azurerm_linux_virtual_machine', 'cp-1').custom_data)
  const [, encoded = ''] = /base64decode\("([^"]+)"\)/.exec(data) ?? []
  return Buffer.from(encoded, 'base64').toString('utf8').replaceAll('@API_ADDRESS@', address)
}

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

test('a spec without location is refused', () => {
  const spec = azureSpec()
  const {location: _, ...azure} = spec.provider.azure
  expect(() => azureStack({...spec, provider: {...spec.provider, azure}})).toThrow(
    'location is not filled in',
  )
})

const BACKENDS: readonly (readonly [string, AzureSettings, object])[] = [
  ['local', {backend: 'local'}, {backend: {local: {path: 'terraform.tfstate'}}}],
  [
    's3',
    {backend: 's3', s3: {bucket: 'b', region: 'r'}},
    {
      backend: {
        s3: {bucket: 'b', region: 'r', key: 'clouder/demo.tfstate', encrypt: true, use_lockfile: true},
      },
    },
  ],
  [
    'azurerm',
    {backend: 'azurerm', azurerm: {resourceGroup: 'g', storageAccount: 'a', container: 'c', key: 'k'}},
    {
      backend: {
        azurerm: {
          resource_group_name: 'g',
          storage_account_name: 'a',
          container_name: 'c',
          key: 'k',
          use_azuread_auth: true,
        },
      },
    },
  ],
  [
    'remote',
    {backend: 'remote', remote: {organization: 'o'}},
    {cloud: {hostname: 'app.terraform.io', organization: 'o', workspaces: {name: 'clouder-demo'}}},
  ],
]
for (const [name, state, wanted] of BACKENDS) {
  test(`the state is kept where the spec says: ${name}`, () => {
    expect(azureStack(azureSpec({}, {state})).terraform).toEqual({
      required_version: '>= 1.6.0',
      required_providers: {azurerm: {source: 'hashicorp/azurerm', version: '~> 4.55'}},
      ...wanted,
    })
  })
}

test('three control planes and fifty workers are synthesised in less than two seconds', () => {
  const spec = azureSpec({}, {controlPlane: {count: 3}, workers: [{name: 'worker', count: 50}]})
  const startedMs = performance.now()
  const stack = azureStack(spec)
  expect(performance.now() - startedMs).toBeLessThan(2000)
  expect(new Found(elementsOf(stack)).of('azurerm_linux_virtual_machine')).toHaveLength(54)
})
