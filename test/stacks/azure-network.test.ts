import {expect, test} from 'vitest'
import {made, names, only, outputs} from '../support/azure-made.ts'
import {blockOf, Found, textsOf} from '../support/azure-rules/rule.ts'
import {azureSpec, azureStack, BROUGHT, richSpec} from '../support/azure-stack.ts'
import {elementsOf} from '../support/terraform-schema.ts'

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
